#!/usr/bin/env bash
# Deploys stateful-asg, or brings a deployment up to date: table, foundation, functions, wiring, watch, in this order. Run again, it
# changes what differs and nothing else. `make deploy` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source infra/settings.sh

# What is left as it is says so by itself.
stack() {
    local name=$1
    shift
    say
    say "Stack $STACK-$name, from infra/$name.yaml"
    aws cloudformation deploy --stack-name "$STACK-$name" --template-file "infra/$name.yaml" \
        --capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset --parameter-overrides "Name=$STACK" "$@"
}

output() {
    aws cloudformation describe-stacks --stack-name "$STACK-foundation" \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}

# Code, memory, timeout, role and environment are set by cargo-lambda: memory and timeout are in functions/*/Cargo.toml.
deploy_function() {
    local function=$1 role=$2 concurrency=$3 name=$STACK-$1
    say
    say "Function $name"
    cargo lambda deploy --manifest-path "functions/$function/Cargo.toml" \
        --lambda-dir "$LAMBDA_DIR" --binary-name "$function" --role "$role" \
        --env-var "STATEFUL_ASG_TABLE=$STACK" --env-var "STATEFUL_ASG_HOOK_PREFIX=$HOOK_PREFIX" \
        --retry-attempts 10 --tag "application=$STACK" ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$name"
    # Lines as JSON, so that the saved queries and the metrics in them are read by field.
    aws lambda wait function-updated-v2 --function-name "$name"
    aws lambda update-function-configuration --function-name "$name" --query LastUpdateStatus --output text \
        --logging-config LogFormat=JSON,ApplicationLogLevel=INFO,SystemLogLevel=WARN
    aws lambda wait function-updated-v2 --function-name "$name"
    if [[ $concurrency == none ]]; then
        aws lambda delete-function-concurrency --function-name "$name"
    else
        aws lambda put-function-concurrency --function-name "$name" --reserved-concurrent-executions "$concurrency" >/dev/null ||
            fail "The account has no $concurrency executions left to reserve for $name: ask for a higher limit, or set ${function^^}_CONCURRENCY=none."
    fi
}

need_account
cargo lambda --version >/dev/null 2>&1 || fail 'cargo-lambda is not installed: pip install cargo-lambda'
for function in lifecycle reconcile; do
    [[ -f $LAMBDA_DIR/$function/bootstrap.zip ]] || fail "There is no $LAMBDA_DIR/$function/bootstrap.zip: run make build."
done

say "Deploying $STACK to account $account, region $region:"
say "  table $STACK: on demand, point-in-time recovery, protected from deletion${TABLE_KEY_ARN:+, under $TABLE_KEY_ARN}"
say "  functions $STACK-lifecycle ($LIFECYCLE_CONCURRENCY at once) and $STACK-reconcile ($RECONCILE_CONCURRENCY at once), logs kept $LOG_RETENTION_DAYS days"
say "  they may stop instances: $ALLOW_STOP; create volumes: $ALLOW_CREATE; run documents: ${DOCUMENT_ARNS:-none}; use KMS keys: ${VOLUME_KEY_ARNS:-none}"
say "  for lifecycle hooks whose names begin with $HOOK_PREFIX; alarms to ${ALARM_TOPIC_ARN:-nobody: set ALARM_TOPIC_ARN}"
say 'No group is touched: a group is enrolled by its hooks and its tag.'

stack table "TableKeyArn=$TABLE_KEY_ARN"
stack foundation "TableKeyArn=$TABLE_KEY_ARN" "VolumeKeyArns=$VOLUME_KEY_ARNS" "AllowStop=$ALLOW_STOP" \
    "AllowCreate=$ALLOW_CREATE" "DocumentArns=$DOCUMENT_ARNS" "LogRetentionDays=$LOG_RETENTION_DAYS"
deploy_function lifecycle "$(output LifecycleRoleArn)" "$LIFECYCLE_CONCURRENCY"
deploy_function reconcile "$(output ReconcileRoleArn)" "$RECONCILE_CONCURRENCY"
stack wiring "HookPrefix=$HOOK_PREFIX" "CommandEvents=$([[ $DOCUMENT_ARNS ]] && echo yes || echo no)" \
    "MaximumEventAgeSeconds=$MAXIMUM_EVENT_AGE_SECONDS"
if [[ $WATCH == yes ]]; then
    stack watch "AlarmTopicArn=$ALARM_TOPIC_ARN" "LongestWaitSeconds=$LONGEST_WAIT_SECONDS" \
        "LongestReleaseSeconds=$LONGEST_RELEASE_SECONDS"
fi

say
say "Deployed. Next: a group, as in infra/example-group.yaml, or the hooks and the tag on one of yours (README, Deploy)."
