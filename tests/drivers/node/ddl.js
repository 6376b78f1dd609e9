// Things that DDL changes while clients query them by prepared statements.
//
// A thing goes from version to version, and what it is in each is known exactly.
// A client notes the version that was done before it asked and the one that was
// begun when the answer came: the answer must be that of one of those. So an
// answer of a plan that is out of date is found out, and so is an error without a
// reason.
'use strict';

const assert = require('node:assert');
const { server, sleep } = require('./case.js');

const CLIENTS = 30;
// Clients go through all texts so often, and on until every thing has changed so
// often, but never more than so often.
const ROUNDS = 3;
const VERSIONS = 15;
const MOST_ROUNDS = 100;
// An error that is allowed must end: by then the query must have had an answer.
const TRIES = 100;

const numbers = (count) => Array.from({ length: count }, (_, n) => n);
const odd = (k) => k % 2 === 1;

// `made` makes version 0, `step(k)` leads from version k - 1 to k in one
// transaction, `columns(k)` are the columns of version k, or null while there is
// no such thing. `type(k)` is equal for versions whose columns are of the same
// types.
const CHANGING = [
  {
    about: 'ADD COLUMN and DROP COLUMN under a *',
    source: ', t.* FROM ddl_wide t',
    made: ['DROP TABLE IF EXISTS ddl_wide', 'CREATE TABLE ddl_wide AS SELECT 0 AS version'],
    step: (k) => [
      `ALTER TABLE ddl_wide ${odd(k) ? `ADD COLUMN c${k} text DEFAULT 'c${k}'` : `DROP COLUMN c${k - 1}`}`,
      `UPDATE ddl_wide SET version = ${k}`,
    ],
    columns: (k) => (odd(k) ? { version: k, [`c${k}`]: `c${k}` } : { version: k }),
  },
  {
    about: 'ALTER COLUMN TYPE: names and number of the columns stay',
    source: ', version, v FROM ddl_typed',
    made: ['DROP TABLE IF EXISTS ddl_typed', 'CREATE TABLE ddl_typed AS SELECT 0 AS version, 0 AS v'],
    step: (k) => [
      `ALTER TABLE ddl_typed ALTER COLUMN v TYPE ${odd(k) ? `text USING '${k}'` : `int USING ${k}`},
       ALTER COLUMN version TYPE int USING ${k}`,
    ],
    columns: (k) => ({ version: k, v: odd(k) ? `${k}` : k }),
  },
  {
    about: 'DROP TABLE, and CREATE TABLE with other columns after a while',
    source: ', t.* FROM ddl_gone t',
    made: ['DROP TABLE IF EXISTS ddl_gone', "CREATE TABLE ddl_gone AS SELECT 'v0' AS said, 0 AS version"],
    step: (k) => [
      odd(k)
        ? 'DROP TABLE ddl_gone'
        : `CREATE TABLE ddl_gone AS SELECT ${k % 4 === 0 ? `'v${k}' AS said, ` : ''}${k} AS version`,
    ],
    columns: (k) => (odd(k) ? null : k % 4 === 0 ? { said: `v${k}`, version: k } : { version: k }),
  },
  {
    about: 'CREATE OR REPLACE VIEW with one column more, DROP and CREATE VIEW with one less',
    source: ', t.* FROM ddl_looks t',
    made: ['DROP VIEW IF EXISTS ddl_looks', 'CREATE VIEW ddl_looks AS SELECT 0 AS version'],
    step: (k) =>
      odd(k)
        ? [`CREATE OR REPLACE VIEW ddl_looks AS SELECT ${k} AS version, 'v${k}'::text AS said`]
        : ['DROP VIEW ddl_looks', `CREATE VIEW ddl_looks AS SELECT ${k} AS version`],
    columns: (k) => (odd(k) ? { version: k, said: `v${k}` } : { version: k }),
  },
  {
    about: 'CREATE OR REPLACE VIEW with the same columns: new values and never an error',
    source: ', t.* FROM ddl_steady t',
    made: ['DROP VIEW IF EXISTS ddl_steady', 'CREATE VIEW ddl_steady AS SELECT 0 AS version'],
    step: (k) => [`CREATE OR REPLACE VIEW ddl_steady AS SELECT ${k} AS version`],
    columns: (k) => ({ version: k }),
  },
  {
    about: 'DROP TYPE and CREATE TYPE',
    source: ', version, hue FROM ddl_painted',
    made: [
      'DROP TABLE IF EXISTS ddl_painted',
      'DROP TYPE IF EXISTS ddl_hue',
      "CREATE TYPE ddl_hue AS ENUM ('v0')",
      "CREATE TABLE ddl_painted AS SELECT 0 AS version, 'v0'::ddl_hue AS hue",
    ],
    step: (k) => [
      'ALTER TABLE ddl_painted DROP COLUMN hue',
      'DROP TYPE ddl_hue',
      `CREATE TYPE ddl_hue AS ENUM ('other', 'v${k}')`,
      `ALTER TABLE ddl_painted ADD COLUMN hue ddl_hue DEFAULT 'v${k}'`,
      `UPDATE ddl_painted SET version = ${k}`,
    ],
    columns: (k) => ({ version: k, hue: `v${k}` }),
    type: (k) => k,
  },
  {
    about: 'CREATE INDEX and DROP INDEX: other plans, the same answer and never an error',
    source: ', t.* FROM ddl_indexed t WHERE id = 7',
    made: [
      'DROP TABLE IF EXISTS ddl_indexed',
      "CREATE TABLE ddl_indexed AS SELECT id, 'v' || id AS said FROM generate_series(1, 1000) id",
    ],
    step: (k) => [odd(k) ? 'CREATE INDEX ddl_index ON ddl_indexed (id)' : 'DROP INDEX ddl_index'],
    columns: () => ({ id: 7, said: 'v7' }),
  },
];

// Nothing that changes: no error is allowed here.
const still = (count) => ({
  source: numbers(count).map((i) => `, 'c${i}' AS c${i}`).join(''),
  columns: () => Object.fromEntries(numbers(count).map((i) => [`c${i}`, `c${i}`])),
});

const typeOf = (thing, k) =>
  JSON.stringify(thing.type ? thing.type(k) : Object.entries(thing.columns(k)).map(([name, value]) => [name, typeof value]));

// The things, freshly made, and the texts that ask for them. Texts are told apart
// by their numbers; $1 comes back as n.
async function newWorld() {
  await server.query(`SET ROLE "${process.env.PGUSER}"`);
  for (const { made } of CHANGING) for (const statement of made) await server.query(statement);
  await server.query('RESET ROLE');
  const alive = (thing) => ({ ...thing, begun: 0, done: 0 });
  const changing = CHANGING.map(alive);
  const stills = numbers(5).map((count) => alive(still(count)));
  const things = [...changing.flatMap((thing) => Array(4).fill(thing)), ...stills.flatMap((thing) => Array(6).fill(thing))];
  const texts = things.map((thing, number) => ({
    number,
    thing,
    query: `SELECT ${number} AS no, $1::int AS n${thing.source}`,
  }));
  return { changing, texts, still: texts.filter(({ thing }) => stills.includes(thing)), over: false };
}

// DDL, one step after the other, until nobody asks any more.
async function change(world, run) {
  while (!world.over) {
    for (const thing of world.changing) {
      do {
        thing.begun += 1;
        await run(thing.step(thing.begun), thing.begun % 3 !== 0);
        thing.done = thing.begun;
        await sleep(2);
        // What is gone comes back at once.
      } while (thing.columns(thing.done) === null);
    }
  }
}

// One query, from the moment before it is sent.
class Attempt {
  constructor(client, text) {
    Object.assign(this, { client, text, thing: text.thing, low: text.thing.done });
    if (!client.since.has(text)) client.since.set(text, this.low);
  }

  // The whole answer is that of one version which may have been met.
  answered(n, names, values) {
    const got = JSON.stringify([names, values]);
    const right = this.versions(this.low).map((k) => {
      const columns = { no: this.text.number, n, ...this.thing.columns(k) };
      return { k, answer: JSON.stringify([Object.keys(columns), Object.values(columns)]) };
    });
    const match = right.find(({ answer }) => answer === got);
    assert.ok(match, `${this.text.query} with ${n} gave ${got}, right is one of ${right.map(({ answer }) => answer)}`);
    this.client.types.set(this.text, typeOf(this.thing, match.k));
    this.client.since.delete(this.text);
  }

  // Versions that may be met, but for those in which there is no such thing.
  versions(since) {
    return this.allVersions(since).filter((k) => this.thing.columns(k) !== null);
  }

  allVersions(since) {
    return numbers(this.thing.begun - since + 1).map((k) => since + k);
  }

  // Has 42P01, `relation does not exist`, a reason?
  mayBeMissing() {
    return this.versions(this.low).length < this.allVersions(this.low).length;
  }

  // Has 0A000, `cached plan must not change result type`, a reason: may the
  // columns have been others when the statement was prepared?
  mayHaveAnotherType() {
    const known = this.client.types.get(this.text);
    const preparedFor = known ? [known] : this.types(this.client.since.get(this.text));
    return preparedFor.some((a) => this.types(this.low).some((b) => a !== b));
  }

  // The same for a statement that was prepared in this attempt.
  typeChangedMeanwhile() {
    return new Set(this.types(this.low)).size > 1;
  }

  types(since) {
    return this.versions(since).map((k) => typeOf(this.thing, k));
  }

  // The driver has dropped the statement: the next attempt prepares it.
  preparedAnew() {
    this.client.types.delete(this.text);
    this.client.since.delete(this.text);
  }
}

// The same random numbers each time.
function random(seed) {
  let state = seed + 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

// A driver is
//   connect(), end(connection)
//   ask(connection, text, n)          resolves to { names, values }
//   transaction(connection, work)     calls work(connection); rolls back if that rejects
//   change(connection, statements, inTransaction)
//   isForgiven(error, attempt, connection, inTransaction)
//                                     whether the error has a reason; sees to it
//                                     that a stale statement is prepared anew
class Asker {
  constructor(driver, world, number) {
    Object.assign(this, { driver, world, random: random(number), types: new Map(), since: new Map() });
  }

  async work() {
    const connection = await this.driver.connect();
    const { texts, changing } = this.world;
    try {
      for (let round = 0; round < ROUNDS || changing.some(({ done }) => done < VERSIONS); round++) {
        assert.ok(round < MOST_ROUNDS, `too little DDL: ${changing.map(({ done }) => done)}`);
        const first = this.random(texts.length);
        for (const n of numbers(texts.length)) {
          if (this.world.over) return;
          await this.askUntilAnswered(connection, texts[(first + n * 7) % texts.length]);
        }
      }
    } finally {
      await this.driver.end(connection);
    }
  }

  async askUntilAnswered(connection, text) {
    const inTransaction = this.random(5) === 0;
    for (let tries = 0; tries < TRIES; tries++) {
      if (await (inTransaction ? this.askInTransaction(connection, text) : this.ask(connection, text))) return;
      await sleep(2);
    }
    throw new Error(`${text.query} has had no answer in ${TRIES} tries`);
  }

  // True when there was an answer: the right one.
  async ask(connection, text, inTransaction = false) {
    const attempt = new Attempt(this, text);
    const n = this.random(1000000);
    let answer;
    try {
      answer = await this.driver.ask(connection, text, n);
    } catch (error) {
      if (!this.driver.isForgiven(error, attempt, connection, inTransaction)) throw error;
      return false;
    }
    attempt.answered(n, answer.names, answer.values);
    return true;
  }

  // What `text` is about stays as it was first seen, which the second time finds
  // out; the others never change.
  async askInTransaction(connection, text) {
    const another = () => this.world.still[this.random(this.world.still.length)];
    const unanswered = new Error('unanswered');
    try {
      await this.driver.transaction(connection, async (transaction) => {
        for (const each of [another(), text, another(), text]) {
          if (!(await this.ask(transaction, each, true))) throw unanswered;
        }
      });
    } catch (error) {
      if (error !== unanswered) throw error;
      return false;
    }
    return true;
  }
}

async function underDdl(driver) {
  const world = await newWorld();
  const connection = await driver.connect();
  const changing = change(world, (statements, inTransaction) => driver.change(connection, statements, inTransaction));
  const asking = numbers(CLIENTS).map((number) => new Asker(driver, world, number).work());
  try {
    await Promise.all(asking);
  } finally {
    // After a failure nobody goes on into the next case.
    world.over = true;
    await Promise.allSettled([changing, ...asking]);
    await driver.end(connection);
  }
  await changing;
}

module.exports = { underDdl };
