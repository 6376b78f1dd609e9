//! Prepared statements while DDL goes on.

use std::collections::HashMap;
use std::error::Error as _;

use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Error, Statement};

use crate::case::{Cases, connect};
use crate::clients_under_ddl::{Driver, right_answers_under_ddl};
use crate::ddl::{Attempt, Columns, Known, Text, Value};

pub async fn run(cases: &mut Cases) {
    cases
        .check(
            "30 clients with prepared statements under DDL: right answers, and no error without a reason",
            right_answers_under_ddl::<Connection>(),
        )
        .await;
}

/// Statements are kept by the number of their text.
struct Connection {
    client: Client,
    statements: HashMap<u32, Statement>,
}

impl Driver for Connection {
    type Error = Error;

    async fn connect() -> Self {
        let client = connect().await;
        let statements = HashMap::new();
        Self { client, statements }
    }

    async fn ask(&mut self, text: &Text, n: i32) -> Result<Columns, Error> {
        if !self.statements.contains_key(&text.number) {
            let statement = self.client.prepare(&text.query).await?;
            self.statements.insert(text.number, statement);
        }
        let statement = &self.statements[&text.number];
        let row = self.client.query_one(statement, &[&n]).await?;
        let columns = row.columns().iter().enumerate();
        columns
            .map(|(at, column)| {
                let value = match *column.type_() {
                    Type::INT4 => Value::Int(row.try_get(at)?),
                    _ => Value::Text(row.try_get::<_, AnyText>(at)?.0),
                };
                Ok((column.name().to_owned(), value))
            })
            .collect()
    }

    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// This driver prepares nothing anew by itself.
    async fn forgives(&mut self, error: &Error, attempt: &Attempt, known: &mut Known) -> bool {
        match error.code().map(tokio_postgres::error::SqlState::code) {
            Some("42P01") => attempt.may_be_missing(),
            Some("0A000") => {
                let forgiven = attempt.may_have_another_type(known);
                attempt.prepared_anew(known);
                self.statements.remove(&attempt.number());
                forgiven
            }
            // The driver has asked about a type and found none.
            None => error.source().is_none() && attempt.may_have_lost_its_type(),
            Some(_) => false,
        }
    }
}

/// Also of an enum.
struct AnyText(String);

impl<'a> FromSql<'a> for AnyText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(String::from_utf8(raw.to_vec())?))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
