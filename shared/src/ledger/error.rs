//! What can go wrong with the ledger, told apart by what the caller must do.

/// A ledger call did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The database is away, overloaded, or did not answer in time. Whether a write took place is not known; every
    /// write here may be repeated. Try again later.
    #[error("the ledger is unavailable: {0}")]
    Unavailable(String),
    /// The database refused the data itself. Repeating cannot help; other rows of the same batch may be fine.
    #[error("the ledger refused the data: {0}")]
    Refused(String),
    /// A row says something this version does not understand.
    #[error("the ledger holds something unexpected: {0}")]
    Corrupt(String),
}

impl LedgerError {
    /// Whether waiting may mend it.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if is_refusal(&code) {
                    Self::Refused(error.to_string())
                } else {
                    Self::Unavailable(error.to_string())
                }
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                Self::Corrupt(error.to_string())
            }
            sqlx::Error::Encode(_) => Self::Refused(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        match &error {
            Error::SqliteFailure(code, _) if is_refusal(&code.extended_code.to_string()) => {
                Self::Refused(error.to_string())
            }
            Error::ToSqlConversionFailure(_) | Error::NulError(_) => Self::Refused(error.to_string()),
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnIndex(_)
            | Error::InvalidColumnName(_)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedNoRows
            | Error::Utf8Error(..) => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Whether a database's error code speaks of the data and not of the database.
fn is_refusal(code: &str) -> bool {
    if code.len() == 5 {
        // SQLSTATE: 22 data exception, 23 integrity violation, 54 a limit of the server (such as an oversized index row).
        return ["22", "23", "54"].iter().any(|class| code.starts_with(class));
    }
    // SQLite: the low byte is the primary code; 19 is a constraint, 18 a value that is too big.
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 18 | 19))
}

impl From<sea_orm::DbErr> for LedgerError {
    fn from(error: sea_orm::DbErr) -> Self {
        match error {
            sea_orm::DbErr::Type(_) | sea_orm::DbErr::Json(_) | sea_orm::DbErr::TryIntoErr { .. } => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<crate::domain::UnknownName> for LedgerError {
    fn from(error: crate::domain::UnknownName) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<crate::domain::UnknownEventType> for LedgerError {
    fn from(error: crate::domain::UnknownEventType) -> Self {
        Self::Corrupt(error.to_string())
    }
}
