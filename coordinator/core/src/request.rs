//! What a user asks of a job is done once: who asks again under the same id gets the answer of then.

use types::{JobId, RequestId};

use crate::{
    core::Core,
    effect::{Effect, Refusal, Reply},
    job::JobNumber,
    rows::{Change, RequestAnswer, RequestRow},
};

impl Core {
    /// Does it, or finds that it was done, and replies; `reply` has none for the answer to another kind of request.
    pub(crate) fn once(
        &mut self,
        request: RequestId,
        id: &JobId,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Self, JobNumber, &mut Vec<Effect>) -> Result<RequestAnswer, Refusal>,
        reply: impl FnOnce(&Self, JobNumber, RequestAnswer) -> Option<Reply>,
    ) -> Result<Reply, Refusal> {
        let unknown = || Refusal::UnknownJob(id.clone());
        let number = *self.job_numbers.get(id).ok_or_else(unknown)?;
        let answer = match self.requests.get(&request) {
            Some(known) if known.job != *id => return Err(Refusal::RequestReused(request)),
            Some(known) => known.answer,
            None if self.shown_job(id).is_none() => return Err(unknown()),
            None => {
                let answer = act(self, number, out)?;
                let (id, job) = (request.clone(), id.clone());
                self.remember(RequestRow { id, job, answer }, out);
                answer
            }
        };
        reply(self, number, answer).ok_or(Refusal::RequestReused(request))
    }

    pub(crate) fn remember(&mut self, row: RequestRow, out: &mut Vec<Effect>) {
        out.push(Effect::Persist(Change::Request(row.clone())));
        self.requests.insert(row.id.clone(), row);
    }
}
