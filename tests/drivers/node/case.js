// Cases of a driver: `check(name, async function)` registers one, `run(suite)`
// runs them in order, one line each. A case fails by rejecting, by taking longer
// than its time, or by leaving a transaction open on the server.
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const { Client } = require('pg');

const SECONDS = 60;
const cases = [];

// Server connections a pool may have; null when there is no pooler.
const poolSize = process.env.PGWEAVE_TEST_POOL_SIZE ? Number(process.env.PGWEAVE_TEST_POOL_SIZE) : null;

function check(name, work) {
  cases.push({ name, work });
}

// PostgreSQL itself, past the pooler, as superuser.
const server = {
  client: null,
  async query(text, values) {
    if (!server.client) {
      server.client = new Client({
        host: process.env.PGWEAVE_TEST_SERVER_HOST,
        port: Number(process.env.PGWEAVE_TEST_SERVER_PORT),
        user: 'postgres',
        password: '',
      });
      await server.client.connect();
    }
    return (await server.client.query(text, values)).rows;
  },
  async value(text, values) {
    return Object.values((await server.query(text, values))[0])[0];
  },
  async freshTable(name, columns) {
    await server.query(`SET lock_timeout = '10s'; DROP TABLE IF EXISTS ${name}; CREATE TABLE ${name} (${columns});
      ALTER TABLE ${name} OWNER TO "${process.env.PGUSER}"`);
  },
  openTransactions() {
    return server.query(
      `SELECT pid, state, left(query, 60) AS query FROM pg_stat_activity
       WHERE usename = ANY ($1) AND backend_type = 'client backend' AND (xact_start IS NOT NULL OR state <> 'idle')`,
      [[process.env.PGUSER, process.env.PGWEAVE_TEST_TRUST_USER]],
    );
  },
  async noTransactionIsOpen() {
    let left = [];
    for (let tries = 0; tries < 100; tries++) {
      left = await server.openTransactions();
      if (left.length === 0) return;
      await sleep(50);
    }
    throw new Error(`left open on the server: ${JSON.stringify(left)}`);
  },
  async connections() {
    // Of our user in our database: of the one pool that the cases are about, without
    // the one connection beside it that listens for all clients.
    const query = `SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND datname = $2
      AND application_name <> 'pgweave listens'`;
    return Number(await server.value(query, [process.env.PGUSER, process.env.PGDATABASE]));
  },
};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function withinTime(work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${SECONDS} s`)), SECONDS * 1000);
  });
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

// The block must reject with that SQLSTATE; returns the error.
async function rejects(code, promise) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.code, code, `${error.code}: ${error.message}`);
    return error;
  }
  throw new Error(`${code} was expected and did not come`);
}

// The line of ours that an error comes from.
function place(error) {
  const lines = (error.stack || '').split('\n');
  return (lines.find((line) => line.includes(__dirname + path.sep) && !line.includes(__filename)) || '').replace(/\s+/g, ' ');
}

async function run(suite) {
  let failed = 0;
  for (const { name, work } of cases) {
    try {
      await withinTime(work);
      await server.noTransactionIsOpen();
      console.log(`ok ${suite}: ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${suite}: ${name}: ${String(error.message).replace(/\s+/g, ' ').slice(0, 300)}${place(error)}`);
      console.error(error);
      for (const { pid } of await server.openTransactions()) await server.query('SELECT pg_terminate_backend($1)', [pid]);
    }
  }
  process.exit(failed === 0 && cases.length > 0 ? 0 : 1);
}

module.exports = { check, poolSize, rejects, run, server, sleep };
