'use strict';
// node-postgres.

const assert = require('node:assert');
const fs = require('node:fs');
const { Client } = require('pg');

const told = JSON.parse(fs.readFileSync(0, 'utf8'));

function settings(way, more) {
  const own = way.cert ? { cert: fs.readFileSync(way.cert), key: fs.readFileSync(way.key) } : {};
  return {
    host: 'localhost', port: way.port, user: way.user, password: way.password, database: told.database,
    ssl: { ca: fs.readFileSync(told.ca), servername: 'localhost', ...own }, ...more,
  };
}

async function connected(way, body, more) {
  const client = new Client(settings(way, more));
  await client.connect();
  try {
    await body(client);
  } finally {
    await client.end();
  }
}

const works = (way, more) => connected(way, async (client) => {
  for (let i = 0; i < 3; i++) {
    const found = await client.query({ name: 'add', text: 'SELECT $1::int + 1 AS sum', values: [41] });
    assert.strictEqual(found.rows[0].sum, 42);
  }
  const who = await client.query('SELECT session_user::text AS name');
  assert.strictEqual(who.rows[0].name, way.user);
}, more);

const transactions = (way) => connected(way, async (client) => {
  await client.query('BEGIN');
  await client.query('CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP');
  await client.query('INSERT INTO t VALUES ($1), ($2)', [1, 2]);
  const found = await client.query('SELECT sum(a)::int AS sum FROM t');
  assert.strictEqual(found.rows[0].sum, 3);
  await client.query('COMMIT');
  await assert.rejects(client.query('SELECT 1 / 0'), { code: '22012' });
  const after = await client.query('SELECT 6 * 7 AS n');
  assert.strictEqual(after.rows[0].n, 42);
});

const refused = (way, code, more) =>
  assert.rejects(connected(way, async () => {}, more), { code });

async function run(name, body) {
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    console.error(error);
    console.log(`FAILED ${name}: ${String(error.message).split('\n')[0]}`);
  }
}

(async () => {
  for (const way of told.ways) {
    await run(`${way.name}: queries`, () => works(way));
    await run(`${way.name}: transactions and errors`, () => transactions(way));
    if (way.scram) {
      await run(`${way.name}: channel binding`, () => works(way, { enableChannelBinding: true }));
    }
    if (way.wrong === '28P01') {
      await run(`${way.name}: a wrong password`, () => refused(way, '28P01', { password: 'wrong' }));
    } else if (way.wrong === '28000') {
      const nobody = { ssl: { ca: fs.readFileSync(told.ca), servername: 'localhost' } };
      await run(`${way.name}: no certificate`, () => refused(way, '28000', nobody));
    }
  }
})();
