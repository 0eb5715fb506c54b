//! Putting hints back: what the duty does with a Redis that lost some, or all.

use async_trait::async_trait;
use uuid::Uuid;

use super::{OFFERED_AT_ONCE, RedisDispatch};
use crate::dispatch::{Completeness, Hint, HintsAway, Rebuild, RebuildId};
use crate::redis_link::LinkError;

impl From<LinkError> for HintsAway {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl Rebuild for RedisDispatch {
    async fn completeness(&self) -> Result<Completeness, HintsAway> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.scripts.key("generation"));
        Ok(if self.link.query(&exists).await? {
            Completeness::Complete
        } else {
            Completeness::Incomplete
        })
    }

    async fn begin(&self) -> Result<RebuildId, HintsAway> {
        let rebuild = Uuid::now_v7().simple().to_string();
        let mut set = redis::cmd("SET");
        set.arg(self.scripts.key("rebuilding")).arg(&rebuild);
        self.link.query::<()>(&set).await?;
        Ok(RebuildId(rebuild))
    }

    async fn restore(&self, hints: &[Hint]) -> Result<(), HintsAway> {
        for some in hints.chunks(OFFERED_AT_ONCE) {
            self.scripts.offer(&self.link, some).await?;
        }
        Ok(())
    }

    async fn complete(&self, rebuild: &RebuildId) -> Result<bool, HintsAway> {
        Ok(self.scripts.complete(&self.link, &rebuild.0).await?)
    }
}
