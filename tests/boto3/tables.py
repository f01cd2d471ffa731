"""DynamoDB at the same address: tables that have nothing to do with ours."""

from botocore.exceptions import ClientError

from harness import equal, quickly, refused, true

TABLE = "boto3-table"


def item(pk, **numbers):
    return {"pk": {"S": pk}} | {name: {"N": str(value)} for name, value in numbers.items()}


def tables(report, cloud):
    dynamodb = cloud.client("dynamodb")

    with report.check("the functions' own table is there"):
        names = dynamodb.list_tables()["TableNames"]
        true(cloud.variables["STATEFUL_ASG_TABLE"] in names, f"the tables are {names}")
    with report.check("CreateTable; waiter table_exists"):
        dynamodb.create_table(
            TableName=TABLE, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )  # fmt: skip
        dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig=quickly())
        refused("ResourceInUseException", dynamodb.create_table, TableName=TABLE, BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])  # fmt: skip
    with report.check("PutItem, GetItem, and a condition that fails and shows the item"):
        dynamodb.put_item(TableName=TABLE, Item=item("a", epoch=1))
        equal(
            dynamodb.get_item(TableName=TABLE, Key=item("a"), ConsistentRead=True)["Item"],
            item("a", epoch=1),
            "the item",
        )
        try:
            dynamodb.put_item(
                TableName=TABLE, Item=item("a", epoch=2), ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )  # fmt: skip
            raise AssertionError("not refused")
        except ClientError as error:
            equal(error.response["Error"]["Code"], "ConditionalCheckFailedException", "the code")
            equal(error.response["Item"], item("a", epoch=1), "the item shown")
    with report.check("TransactWriteItems: all or nothing, with reasons in the order of the request"):
        write = [
            {"Put": {"TableName": TABLE, "Item": item("b", epoch=1)}},
            {
                "Update": {
                    "TableName": TABLE, "Key": item("a"), "UpdateExpression": "SET epoch = epoch + :one",
                    "ConditionExpression": "epoch = :seen",
                    "ExpressionAttributeValues": {":one": {"N": "1"}, ":seen": {"N": "1"}},
                }
            },
        ]  # fmt: skip
        dynamodb.transact_write_items(TransactItems=write)
        equal(dynamodb.get_item(TableName=TABLE, Key=item("a"))["Item"], item("a", epoch=2), "the updated item")
        try:
            write[0]["Put"]["Item"] = item("c", epoch=1)
            dynamodb.transact_write_items(TransactItems=write)
            raise AssertionError("not refused")
        except dynamodb.exceptions.TransactionCanceledException as error:
            equal(
                [it["Code"] for it in error.response["CancellationReasons"]],
                ["None", "ConditionalCheckFailed"],
                "the reasons",
            )
        true("Item" not in dynamodb.get_item(TableName=TABLE, Key=item("c")), "half of it was written")
    with report.check("a transaction's client token: the same again is one write, another under it is refused"):
        add = [{"Update": {"TableName": TABLE, "Key": item("b"), "UpdateExpression": "ADD epoch :one",
                           "ExpressionAttributeValues": {":one": {"N": "1"}}}}]  # fmt: skip
        for _ in range(3):
            dynamodb.transact_write_items(TransactItems=add, ClientRequestToken="boto3-transaction")
        equal(dynamodb.get_item(TableName=TABLE, Key=item("b"))["Item"], item("b", epoch=2), "the item")
        refused("IdempotentParameterMismatchException", dynamodb.transact_write_items,
                TransactItems=write, ClientRequestToken="boto3-transaction")  # fmt: skip
    with report.check("Query, DeleteItem, DeleteTable"):
        answer = dynamodb.query(
            TableName=TABLE, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "b"}}
        )
        equal(answer["Items"], [item("b", epoch=2)], "the items")
        dynamodb.delete_item(TableName=TABLE, Key=item("b"))
        true("Item" not in dynamodb.get_item(TableName=TABLE, Key=item("b")), "it is still there")
        dynamodb.delete_table(TableName=TABLE)
        refused("ResourceNotFoundException", dynamodb.put_item, TableName=TABLE, Item=item("a"))
