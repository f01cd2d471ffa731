//! Commands on instances, behind the domain's port.

use volume_pool::command::{CommandShown, CommandStatus, Run, Sought};
use volume_pool::ids::{CommandId, InstanceId};
use volume_pool::ports::{Commands, PortError, Refusal};

use super::{InProcess, unanswered};
use crate::world::{CommandFilter, PageRequest, SendCommand};

impl Commands for InProcess {
    async fn run_document(
        &self,
        instance: &InstanceId,
        run: &Run,
    ) -> Result<Result<CommandId, Refusal>, PortError> {
        let request = SendCommand {
            document: run.document.to_string(),
            instances: vec![instance.to_string()],
            comment: run.comment.clone(),
            timeout_seconds: Some(run.begins_within.as_secs()),
            ..SendCommand::default()
        };
        match self.world().send_command(request) {
            Ok(command) => {
                command.id.parse().map(Ok).map_err(|error| unanswered("ssm:SendCommand", &error))
            }
            Err(error) => Ok(Err(Refusal::Other(error.to_string()))),
        }
    }

    async fn command(
        &self,
        instance: &InstanceId,
        sought: &Sought,
    ) -> Result<CommandShown, PortError> {
        let call = "ssm:ListCommandInvocations";
        let (filter, comment) = match sought {
            Sought::Id(id) => {
                (CommandFilter { command: Some(id.as_str()), ..CommandFilter::default() }, None)
            }
            Sought::Comment { comment, since } => {
                (CommandFilter { after: Some(*since), ..CommandFilter::default() }, Some(comment))
            }
        };
        let mut page = PageRequest::default();
        loop {
            let answer = self
                .world()
                .list_command_invocations(&filter, &page)
                .map_err(|error| unanswered(call, &error))?;
            let found = answer.items.into_iter().find(|it| {
                it.instance == instance.as_str() && comment.is_none_or(|known| it.comment == *known)
            });
            if let Some(found) = found {
                let id = found.command.parse().map_err(|error| unanswered(call, &error))?;
                let (status, details) = (found.status.as_str(), found.status.details());
                return Ok(CommandShown::Command(id, CommandStatus::read(status, Some(details))));
            }
            match answer.next_token {
                Some(token) => page.next_token = Some(token),
                None => return Ok(CommandShown::Nothing),
            }
        }
    }
}
