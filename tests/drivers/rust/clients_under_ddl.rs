//! 30 clients that ask by prepared statements while one more runs DDL.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::ddl::{Attempt, Columns, Known, Text, World};

const CLIENTS: u32 = 30;
/// Clients go through all texts so often, and on until every thing has changed so
/// often, but never more than so often.
const ROUNDS: u32 = 3;
const VERSIONS: u32 = 15;
const MOST_ROUNDS: u32 = 100;
/// An error that is allowed must end: by then the query must have had an answer.
const TRIES: u32 = 100;

/// A connection of the driver under test.
pub trait Driver: Send + Sized + 'static {
    type Error: Debug + Send;

    fn connect() -> impl Future<Output = Self> + Send;

    /// Asks by a prepared statement.
    fn ask(
        &mut self,
        text: &Text,
        n: i32,
    ) -> impl Future<Output = Result<Columns, Self::Error>> + Send;

    /// A simple query without results.
    fn run(&mut self, sql: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Has an error a reason? Sees to it that a stale statement is prepared anew.
    fn forgives(
        &mut self,
        error: &Self::Error,
        attempt: &Attempt,
        known: &mut Known,
    ) -> impl Future<Output = bool> + Send;
}

/// The case.
pub async fn right_answers_under_ddl<D: Driver>() {
    let world = World::new().await;
    let changing = tokio::spawn(change::<D>(Arc::clone(&world)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(asks::<D>(Arc::clone(&world), number)))
        .collect();
    let mut failed = None;
    for client in clients {
        if let Err(error) = client.await {
            // Nobody goes on into the next case.
            world.over.store(true, Ordering::SeqCst);
            failed.get_or_insert(error);
        }
    }
    world.over.store(true, Ordering::SeqCst);
    changing.await.unwrap();
    if let Some(error) = failed {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// DDL, one step after the other, until nobody asks any more.
async fn change<D: Driver>(world: Arc<World>) {
    let mut connection = D::connect().await;
    while !world.over.load(Ordering::SeqCst) {
        for thing in &world.changing {
            loop {
                let (k, statements) = World::begin(thing);
                if k % 3 == 0 {
                    connection.run(&statements.join("; ")).await.unwrap();
                } else {
                    connection.run("BEGIN").await.unwrap();
                    for statement in &statements {
                        connection.run(statement).await.unwrap();
                    }
                    connection.run("COMMIT").await.unwrap();
                }
                thing.done.store(k, Ordering::SeqCst);
                sleep(Duration::from_millis(2)).await;
                // What is gone comes back at once.
                if thing.columns(k).is_some() {
                    break;
                }
            }
        }
    }
}

/// One client: every text in some order, one time in five in a transaction.
async fn asks<D: Driver>(world: Arc<World>, number: u32) {
    let mut client = Client {
        connection: D::connect().await,
        known: Known::default(),
        random: Random(u64::from(number) + 1),
        world: Arc::clone(&world),
    };
    let mut round = 0;
    while round < ROUNDS || world.done().iter().any(|done| *done < VERSIONS) {
        assert!(round < MOST_ROUNDS, "too little DDL: {:?}", world.done());
        let first = client.random.below(world.texts.len());
        for n in 0..world.texts.len() {
            if world.over.load(Ordering::SeqCst) {
                return;
            }
            let text = &world.texts[(first + n * 7) % world.texts.len()];
            client.ask_until_answered(text).await;
        }
        round += 1;
    }
}

struct Client<D> {
    connection: D,
    known: Known,
    random: Random,
    world: Arc<World>,
}

impl<D: Driver> Client<D> {
    async fn ask_until_answered(&mut self, text: &Text) {
        let in_transaction = self.random.below(5) == 0;
        for _ in 0..TRIES {
            let answered = match in_transaction {
                true => self.ask_in_transaction(text).await,
                false => self.ask(text).await,
            };
            if answered {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
        panic!("{} has had no answer in {TRIES} tries", text.query);
    }

    /// True when there was an answer: the right one.
    async fn ask(&mut self, text: &Text) -> bool {
        let attempt = Attempt::new(&mut self.known, text);
        let n = i32::try_from(self.random.below(1_000_000)).unwrap();
        match self.connection.ask(text, n).await {
            Ok(columns) => attempt.answered(&mut self.known, n, &columns),
            Err(error) => {
                let known = &mut self.known;
                let forgiven = self.connection.forgives(&error, &attempt, known).await;
                assert!(forgiven, "{}: {error:?}", text.query);
                return false;
            }
        }
        true
    }

    /// What `text` is about stays as it was first seen, which the second time
    /// finds out; the others never change.
    async fn ask_in_transaction(&mut self, text: &Text) -> bool {
        let still = [(); 2].map(|()| self.random.below(self.world.still.len()));
        let [first, second] = still.map(|n| self.world.still[n].clone());
        self.connection.run("BEGIN").await.unwrap();
        for each in [&first, text, &second, text] {
            if !self.ask(each).await {
                self.connection.run("ROLLBACK").await.unwrap();
                return false;
            }
        }
        self.connection.run("COMMIT").await.unwrap();
        true
    }
}

/// The same random numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0 * 48_271 % 2_147_483_647;
        usize::try_from(self.0).unwrap() % limit
    }
}
