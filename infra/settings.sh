# What `make deploy` and `make destroy` have in common: the settings, each from the environment or from make's command line, and
# how a stack is named.
# shellcheck shell=bash

# What every name of this deployment begins with; also the lease table's name. One account and region can have several.
STACK=${STACK:-stateful-asg}

# What the names of our lifecycle hooks begin with.
HOOK_PREFIX=${HOOK_PREFIX:-stateful-asg}

# What the functions may do beside attaching and detaching: stop terminating instances, create volumes, run these documents.
ALLOW_STOP=${ALLOW_STOP:-yes}
ALLOW_CREATE=${ALLOW_CREATE:-yes}
DOCUMENT_ARNS=${DOCUMENT_ARNS:-}

# Customer managed KMS keys: of the volumes, separated by commas, and of the table.
VOLUME_KEY_ARNS=${VOLUME_KEY_ARNS:-}
TABLE_KEY_ARN=${TABLE_KEY_ARN:-}

# How many of each function may run at once. It is taken from the account's limit; `none` shares what is left there.
LIFECYCLE_CONCURRENCY=${LIFECYCLE_CONCURRENCY:-20}
RECONCILE_CONCURRENCY=${RECONCILE_CONCURRENCY:-10}

# For how long an event is tried; less than the shortest heartbeat timeout of the hooks.
MAXIMUM_EVENT_AGE_SECONDS=${MAXIMUM_EVENT_AGE_SECONDS:-240}

# Who is told, and when.
ALARM_TOPIC_ARN=${ALARM_TOPIC_ARN:-}
LONGEST_WAIT_SECONDS=${LONGEST_WAIT_SECONDS:-900}
LONGEST_RELEASE_SECONDS=${LONGEST_RELEASE_SECONDS:-1800}
LOG_RETENTION_DAYS=${LOG_RETENTION_DAYS:-30}

# Whether there are alarms, a dashboard and saved queries. `no` is for emulators of AWS that know no alarms over queries.
WATCH=${WATCH:-yes}

# What `make build` made.
LAMBDA_DIR=${LAMBDA_DIR:-${CARGO_TARGET_DIR:-target}/lambda}

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Fails where a tool is missing, or where it is not plain which account and region are meant.
need_account() {
    command -v aws >/dev/null || fail 'The AWS CLI is not installed: https://docs.aws.amazon.com/cli/'
    region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
    [[ $region ]] || fail 'No region is set: export AWS_REGION.'
    # Version 1 of the CLI reads the one, its version 2 and cargo-lambda the other.
    export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER=
    account=$(aws sts get-caller-identity --query Account --output text) ||
        fail 'There are no credentials that AWS takes: see the message above.'
}
