#!/usr/bin/env bash
# Takes a deployment away again, and never a volume. `make destroy` calls it. YES=yes does not ask; DELETE_TABLE=yes takes the lease
# table too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source infra/settings.sh
YES=${YES:-no}
DELETE_TABLE=${DELETE_TABLE:-no}

remove_stack() {
    local name=$STACK-$1
    say "Stack $name"
    aws cloudformation delete-stack --stack-name "$name"
    aws cloudformation wait stack-delete-complete --stack-name "$name"
}

remove_function() {
    local name=$STACK-$1 problem
    say "Function $name"
    problem=$(aws lambda delete-function --function-name "$name" 2>&1 >/dev/null) || [[ $problem == *ResourceNotFound* ]] || fail "$problem"
}

# Protected from deletion, and kept by its stack: it goes only where it is asked for by name.
remove_table() {
    local problem
    say "Table $STACK, with every record in it"
    if problem=$(aws dynamodb update-table --table-name "$STACK" --no-deletion-protection-enabled 2>&1 >/dev/null); then
        aws dynamodb wait table-exists --table-name "$STACK"
        aws dynamodb delete-table --table-name "$STACK" >/dev/null
        aws dynamodb wait table-not-exists --table-name "$STACK"
    elif [[ $problem != *ResourceNotFound* ]]; then
        fail "$problem"
    fi
    remove_stack table
}

need_account
groups=$(aws autoscaling describe-auto-scaling-groups --filters Name=tag-key,Values=stateful-asg:pool \
    --query 'AutoScalingGroups[].[AutoScalingGroupName]' --output text)
if [[ $groups && $groups != None ]]; then
    say 'Refused: these groups are enrolled. Without the functions their launches and terminations would hang until their hooks time out:'
    while read -r group; do say "  $group"; done <<<"$groups"
    say 'Take each one out first: delete its two hooks (aws autoscaling delete-lifecycle-hook), then its tag stateful-asg:pool.'
    exit 1
fi

say "Removing $STACK from account $account, region $region:"
say "  alarms, dashboard and queries; rules; both functions; roles, log groups with their lines, and dead letters"
if [[ $DELETE_TABLE == yes ]]; then
    say "  and the table $STACK: which instance holds which volume is then known by the volumes' tags alone"
else
    say "The table $STACK stays, with its stack. DELETE_TABLE=yes takes it too."
fi
say 'No volume is touched.'
if [[ $YES != yes ]]; then
    [[ -t 0 ]] || fail 'Nobody is there to ask: run it with YES=yes.'
    read -r -p "Type $STACK to go on: " answer
    [[ $answer == "$STACK" ]] || fail 'Nothing was removed.'
fi

remove_stack watch
remove_stack wiring
remove_function lifecycle
remove_function reconcile
remove_stack foundation
if [[ $DELETE_TABLE == yes ]]; then
    remove_table
fi
say 'Removed.'
