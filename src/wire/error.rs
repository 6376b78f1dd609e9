//! An error as PostgreSQL reports it: severity, SQLSTATE, message.

use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use super::encode;

/// SQLSTATE codes that pgweave itself raises or acts upon.
///
/// Source: `errcodes-appendix.html`.
pub mod sqlstate {
    /// `successful_completion`: what notices have.
    pub const SUCCESSFUL_COMPLETION: &str = "00000";
    /// `warning`.
    pub const WARNING: &str = "01000";
    /// `connection_failure`: the server connection was lost.
    pub const CONNECTION_FAILURE: &str = "08006";
    /// `sqlclient_unable_to_establish_sqlconnection`: PostgreSQL cannot be reached.
    pub const CANNOT_CONNECT: &str = "08001";
    /// `protocol_violation`.
    pub const PROTOCOL_VIOLATION: &str = "08P01";
    /// `feature_not_supported`.
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    /// `invalid_authorization_specification`.
    pub const INVALID_AUTHORIZATION: &str = "28000";
    /// `invalid_password`.
    pub const INVALID_PASSWORD: &str = "28P01";
    /// `invalid_catalog_name`: no such database.
    pub const INVALID_CATALOG_NAME: &str = "3D000";
    /// `too_many_connections`.
    pub const TOO_MANY_CONNECTIONS: &str = "53300";
    /// `configuration_limit_exceeded`.
    pub const CONFIGURATION_LIMIT_EXCEEDED: &str = "53400";
    /// `object_not_in_prerequisite_state`.
    pub const NOT_IN_PREREQUISITE_STATE: &str = "55000";
    /// `syntax_error`.
    pub const SYNTAX_ERROR: &str = "42601";
    /// `insufficient_privilege`.
    pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
    /// `undefined_object`.
    pub const UNDEFINED_OBJECT: &str = "42704";
    /// `undefined_function`.
    pub const UNDEFINED_FUNCTION: &str = "42883";
    /// `undefined_table`.
    pub const UNDEFINED_TABLE: &str = "42P01";
    /// `invalid_schema_name`.
    pub const INVALID_SCHEMA_NAME: &str = "3F000";
    /// `invalid_sql_statement_name`.
    pub const INVALID_STATEMENT_NAME: &str = "26000";
    /// `invalid_cursor_name`: no such portal.
    pub const INVALID_CURSOR_NAME: &str = "34000";
    /// `duplicate_prepared_statement`.
    pub const DUPLICATE_STATEMENT: &str = "42P05";
    /// `invalid_parameter_value`.
    pub const INVALID_PARAMETER_VALUE: &str = "22023";
    /// `config_file_error`.
    pub const CONFIG_FILE_ERROR: &str = "F0000";
    /// `program_limit_exceeded`.
    pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    /// `query_canceled`.
    pub const QUERY_CANCELED: &str = "57014";
    /// `admin_shutdown`.
    pub const ADMIN_SHUTDOWN: &str = "57P01";
    /// `cannot_connect_now`: PostgreSQL is starting up or in recovery.
    pub const CANNOT_CONNECT_NOW: &str = "57P03";
    /// `idle_session_timeout`.
    pub const IDLE_SESSION_TIMEOUT: &str = "57P05";
    /// `idle_in_transaction_session_timeout`.
    pub const IDLE_IN_TRANSACTION_TIMEOUT: &str = "25P03";
    /// `internal_error`.
    pub const INTERNAL_ERROR: &str = "XX000";
}

/// How grave an error is for the one who receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed; the connection goes on.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// An error in PostgreSQL's terms, made by us or read from a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
pub struct PgError {
    /// Does the connection survive it?
    pub severity: Severity,
    /// Five-character SQLSTATE.
    pub code: String,
    /// Primary message, one sentence, without secrets.
    pub message: String,
    /// Optional DETAIL.
    pub detail: Option<String>,
    /// Optional HINT: what the reader can do.
    pub hint: Option<String>,
}

impl PgError {
    /// An error that ends the connection.
    #[must_use]
    pub fn fatal(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fatal,
            code: code.to_owned(),
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    /// An error that ends the statement only.
    #[must_use]
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::fatal(code, message)
        }
    }

    /// What ends a connection because the pooler, or whoever runs it, wants that.
    #[must_use]
    pub fn shutting_down() -> Self {
        let what = "terminating connection due to administrator command";
        Self::fatal(sqlstate::ADMIN_SHUTDOWN, what)
    }

    /// What a CancelRequest ends a statement with.
    #[must_use]
    pub fn canceled() -> Self {
        let what = "canceling statement due to user request";
        Self::error(sqlstate::QUERY_CANCELED, what)
    }

    /// The same error with a HINT.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with a DETAIL.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with another severity: what ends a server connection
    /// need not end the client's.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    fn fields(&self, severity: &str) -> Vec<(u8, String)> {
        let text = |kind: u8, text: &str| (kind, text.to_owned());
        let mut fields = vec![
            text(b'S', severity),
            text(b'V', severity),
            text(b'C', &self.code),
            text(b'M', &self.message),
        ];
        fields.extend(self.detail.as_deref().map(|detail| text(b'D', detail)));
        fields.extend(self.hint.as_deref().map(|hint| text(b'H', hint)));
        fields
    }

    /// The whole ErrorResponse frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        encode(ErrorResponse::new(self.fields(self.severity.as_str())))
    }

    /// The same as a NoticeResponse frame, `WARNING` or `NOTICE`.
    #[must_use]
    pub fn to_notice(&self, severity: &str) -> Vec<u8> {
        encode(NoticeResponse::new(self.fields(severity)))
    }

    /// The body of the ErrorResponse frame.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        self.to_frame().split_off(super::frame::HEADER)
    }

    /// Reads the body of an ErrorResponse: every field is optional, since a
    /// server is not trusted to send any (`protocol-error-fields.html`).
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        let mut error = Self::fatal(
            sqlstate::INTERNAL_ERROR,
            "the server sent an error without a message",
        );
        let mut severity_is_exact = false;
        for field in body.split(|b| *b == 0) {
            let Some((kind, text)) = field.split_first() else {
                break;
            };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'V' => {
                    error.severity = severity_of(&text);
                    severity_is_exact = true;
                }
                b'S' if !severity_is_exact => error.severity = severity_of(&text),
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
        error
    }
}

fn severity_of(text: &str) -> Severity {
    match text {
        "FATAL" | "PANIC" => Severity::Fatal,
        _ => Severity::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_a_frame() {
        let error = PgError::fatal("57P01", "bye")
            .with_hint("reconnect")
            .with_detail("why");
        let frame = error.to_frame();
        assert_eq!(frame.first(), Some(&b'E'));
        assert_eq!(
            PgError::from_body(frame.get(5..).unwrap_or_default()),
            error
        );
    }

    #[test]
    fn an_error_without_fields_is_an_internal_error() {
        assert_eq!(PgError::from_body(&[0]).code, "XX000");
        assert_eq!(PgError::from_body(&[]).code, "XX000");
    }
}
