//! Prepared statements while DDL goes on.

use sqlx::{Column, Connection, Error, Executor, PgConnection, Row, TypeInfo};

use crate::clients_under_ddl::{Driver, right_answers_under_ddl};
use crate::connect::{code_of, connect};
use crate::ddl::{Attempt, Columns, Known, Text, Value};
use crate::runner::Cases;

pub async fn run(cases: &mut Cases) {
    cases
        .check(
            "30 clients with cached statements under DDL: right answers, and no error without a reason",
            right_answers_under_ddl::<PgConnection>(),
        )
        .await;
}

impl Driver for PgConnection {
    type Error = Error;

    async fn connect() -> Self {
        connect().await
    }

    async fn ask(&mut self, text: &Text, n: i32) -> Result<Columns, Error> {
        let row = sqlx::query(&text.query).bind(n).fetch_one(self).await?;
        let columns = row.columns().iter().enumerate();
        columns
            .map(|(at, column)| {
                let value = match column.type_info().name() {
                    "INT4" => Value::Int(row.try_get(at)?),
                    _ => Value::Text(row.try_get_unchecked(at)?),
                };
                Ok((column.name().to_owned(), value))
            })
            .collect()
    }

    async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.execute(sql).await.map(drop)
    }

    /// This driver keeps a stale statement, and has its error for ever, until all
    /// are cleared.
    async fn forgives(&mut self, error: &Error, attempt: &Attempt, known: &mut Known) -> bool {
        match code_of(error).as_deref() {
            Some("42P01") => attempt.may_be_missing(),
            Some("0A000") => {
                let forgiven = attempt.may_have_another_type(known);
                self.clear_cached_statements().await.unwrap();
                known.all_prepared_anew();
                forgiven
            }
            // The driver has asked about a type and found none.
            None => matches!(error, Error::RowNotFound) && attempt.may_have_lost_its_type(),
            Some(_) => false,
        }
    }
}
