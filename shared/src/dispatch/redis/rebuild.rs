//! Putting hints back: what the duty does with a Redis that lost some, or all.

use async_trait::async_trait;
use uuid::Uuid;

use super::{OFFERED_AT_ONCE, RedisDispatch, entry};
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

    async fn delayed(&self, skip: usize, limit: usize) -> Result<Vec<Hint>, HintsAway> {
        let mut range = redis::cmd("ZRANGE");
        range
            .arg(self.scripts.key("delayed"))
            .arg(skip)
            .arg(skip + limit.max(1) - 1);
        let entries: Vec<Vec<u8>> = self.link.query(&range).await?;
        Ok(entries.iter().filter_map(|entry| entry::decode(entry)).collect())
    }

    async fn forget(&self, hints: &[Hint]) -> Result<(), HintsAway> {
        for some in hints.chunks(OFFERED_AT_ONCE) {
            let over: Vec<Vec<u8>> = some.iter().map(entry::encode).collect();
            self.scripts.conclude(&self.link, &over, Vec::new()).await?;
        }
        Ok(())
    }

    async fn complete(&self, rebuild: &RebuildId) -> Result<bool, HintsAway> {
        Ok(self.scripts.complete(&self.link, &rebuild.0).await?)
    }
}
