"""Requests that boto3 would not send: operations and parameters that AWS does not have."""

from botocore.exceptions import ClientError

from harness import Refusal, Unmet, refused, true


def altered(client, operation, change, **parameters):
    """Calls an operation with its request's body changed on the way out; returns the refusal."""

    def alter(params, **_):
        params["body"].update(change)

    event = f"before-call.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, alter)
    try:
        answer = getattr(client, operation)(**parameters)
    except ClientError as error:
        return Refusal(error)
    finally:
        client.meta.events.unregister(event, alter)
    answer.pop("ResponseMetadata", None)
    raise Unmet(f"not refused, but answered {answer}")


def wire(report, cloud):
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")

    with report.check("an action that EC2 does not have: InvalidAction"):
        refusal = altered(ec2, "describe_volumes", {"Action": "DescribeNonsense"})
        true(refusal.code == "InvalidAction" and refusal.status == 400, str(refusal))
    with report.check("an action that Auto Scaling does not have: InvalidAction"):
        refusal = altered(scaling, "describe_auto_scaling_groups", {"Action": "DescribeNonsense"})
        true(refusal.code == "InvalidAction" and refusal.status == 400, str(refusal))
    with report.check("a parameter that EC2 does not have: UnknownParameter, naming it"):
        refusal = altered(ec2, "describe_volumes", {"Colour": "green"})
        true(refusal.code == "UnknownParameter" and "Colour" in refusal.message, str(refusal))
    with report.check("a parameter that Auto Scaling does not have is refused, naming it"):
        refusal = altered(scaling, "describe_auto_scaling_groups", {"Colour": "green"})
        true(refusal.status == 400 and "Colour" in refusal.message, str(refusal))
    with report.check("a parameter missing: MissingParameter"):
        unchecked = cloud.client("ec2", parameter_validation=False)
        refused("MissingParameter", unchecked.attach_volume, Device="/dev/sdf")
    with report.check("an unsupported operation is refused with an error, never answered emptily"):
        for call in (ec2.describe_vpn_connections, ec2.describe_hosts, scaling.describe_notification_configurations):
            try:
                call()
            except ClientError:
                continue
            raise Unmet(f"{call.__name__} was answered")
    with report.check("an error carries a request id"):
        try:
            ec2.describe_volumes(VolumeIds=["vol-0ffffffffffffffff"])
        except ClientError as error:
            true(error.response["ResponseMetadata"].get("RequestId"), "no RequestId")
