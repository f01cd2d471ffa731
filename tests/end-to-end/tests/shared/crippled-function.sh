#!/bin/sh
# A function of this workspace without what the variable WITHOUT names: its credentials, or the name of its table.
# Nothing but loopback is asked for credentials.
export HOME=/nonexistent AWS_EC2_METADATA_DISABLED=true
case $WITHOUT in
credentials) unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN ;;
table) unset STATEFUL_ASG_TABLE ;;
region) unset AWS_REGION AWS_DEFAULT_REGION ;;
*) exit 2 ;;
esac
exec "$FUNCTIONS/$AWS_LAMBDA_FUNCTION_NAME"
