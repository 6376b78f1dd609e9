// node-postgres through the pooler.
'use strict';

const assert = require('node:assert');
const { Client, Pool } = require('pg');
const { check, poolSize, rejects, run, server, sleep } = require('./case.js');
const { underDdl } = require('./ddl.js');

const CLIENTS = 30;

async function withClient(work, options = {}) {
  const client = new Client(options);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function withPool(work, options = {}) {
  const pool = new Pool({ max: CLIENTS, ...options });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

check('parameterised queries return what was sent', () =>
  withClient(async (client) => {
    const sent = [42, 'ünï 漢字 🙂', true, null, Buffer.from(numbers(256)), new Date(86400000), ['a', 'b"'], { a: [1] }];
    const { rows, fields } = await client.query({
      text: `SELECT $1::int, $2::text, $3::bool, $4::text, $5::bytea, $6::timestamptz, $7::text[], $8::jsonb`,
      values: sent,
      rowMode: 'array',
    });
    assert.deepStrictEqual(rows, [sent]);
    assert.strictEqual(fields.length, 8);
    const result = await client.query('SELECT n FROM generate_series(1, $1) n WHERE n > $2', [10, 7]);
    assert.deepStrictEqual(result.rows.map((row) => row.n), [8, 9, 10]);
    assert.strictEqual(result.rowCount, 3);
  }));

check('binary results', () =>
  withClient(async (client) => {
    // Only values of bytes below 128: this driver reads binary values as UTF-8.
    const text = 'SELECT $1::int4 AS n, $2::bool AS yes, $3::text AS said, NULL::int8 AS nothing';
    const { rows } = await client.query({ text, values: [7, true, 'said'], binary: true });
    assert.deepStrictEqual(rows, [{ n: 7, yes: true, said: 'said', nothing: null }]);
  }));

check('1,000 queries of a pool at once: each gets its own answer, over few server connections', () =>
  withPool(async (pool) => {
    let most = 0;
    let watching = true;
    const watch = (async () => {
      while (watching) {
        most = Math.max(most, await server.connections());
        await sleep(10);
      }
    })();
    const got = await Promise.all(numbers(1000).map((n) => pool.query('SELECT $1::int * 2 AS n', [n])));
    watching = false;
    await watch;
    assert.deepStrictEqual(got.map(({ rows }) => rows[0].n), numbers(1000).map((n) => n * 2));
    assert.ok(most > 0);
    if (poolSize !== null) assert.ok(most <= poolSize, `${most} server connections`);
  }));

check('transactions of 30 clients, a third rolled back, a third failing', async () => {
  await server.freshTable('written', 'n int PRIMARY KEY');
  await withPool((pool) =>
    Promise.all(
      numbers(120).map(async (n) => {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          const { rows } = await client.query('INSERT INTO written VALUES ($1) RETURNING n', [n]);
          assert.deepStrictEqual(rows, [{ n }]);
          if (n % 3 === 1) {
            await rejects('23505', client.query('INSERT INTO written VALUES ($1)', [n]));
            await rejects('25P02', client.query('SELECT 1'));
            const { command } = await client.query('COMMIT');
            assert.strictEqual(command, 'ROLLBACK');
          } else {
            await client.query(n % 3 === 0 ? 'COMMIT' : 'ROLLBACK');
          }
          const alive = await client.query('SELECT $1::int AS n', [n]);
          assert.strictEqual(alive.rows[0].n, n);
        } finally {
          client.release();
        }
      }),
    ),
  );
  const kept = (await server.query('SELECT n FROM written ORDER BY n')).map(({ n }) => n);
  assert.deepStrictEqual(kept, numbers(120).filter((n) => n % 3 === 0));
});

check('a savepoint keeps the rest of a transaction', async () => {
  await server.freshTable('written', 'n int PRIMARY KEY');
  await withClient(async (client) => {
    await client.query('BEGIN');
    await client.query('INSERT INTO written VALUES (1)');
    await client.query('SAVEPOINT here');
    await rejects('22012', client.query('SELECT 1 / $1::int', [0]));
    await client.query('ROLLBACK TO SAVEPOINT here');
    await client.query('INSERT INTO written VALUES (2)');
    await client.query('COMMIT');
  });
  assert.strictEqual(await server.value("SELECT string_agg(n::text, ',' ORDER BY n) FROM written"), '1,2');
});

check('an error has its fields and the client goes on', () =>
  withClient(async (client) => {
    for (const values of [undefined, []]) {
      const error = await rejects('42601', client.query('SELEC 1', values));
      assert.deepStrictEqual([error.severity, error.position], ['ERROR', '1']);
      await rejects('42P01', client.query('SELECT * FROM nowhere', values));
      await rejects('22P02', client.query('SELECT $1::int', ['no number']));
      const { rows } = await client.query('SELECT 5 AS n', values);
      assert.deepStrictEqual(rows, [{ n: 5 }]);
    }
  }));

check('queries queued on one client are answered in order, errors among them', () =>
  withClient(async (client) => {
    const ends = await Promise.allSettled(
      numbers(60).map((n) => client.query('SELECT 100 / $1::int AS n', [n % 3])),
    );
    ends.forEach((end, n) => {
      if (n % 3 === 0) assert.strictEqual(end.reason.code, '22012');
      else assert.strictEqual(end.value.rows[0].n, 100 / (n % 3));
    });
  }));

check('several statements in one query give several results', () =>
  withClient(async (client) => {
    const results = await client.query('SELECT 1 AS n; SELECT 2 AS n, 3 AS m; SELECT 4 AS n WHERE false');
    assert.deepStrictEqual(results.map(({ rows }) => rows), [[{ n: 1 }], [{ n: 2, m: 3 }], []]);
    const empty = await client.query('');
    assert.deepStrictEqual(empty.rows, []);
  }));

check('named statements of two clients stay apart', () =>
  withClient((one) =>
    withClient(async (other) => {
      for (const n of numbers(20)) {
        const first = await one.query({ name: 'same', text: "SELECT 'one' AS who, $1::int AS n", values: [n] });
        const second = await other.query({ name: 'same', text: 'SELECT $1::text AS other', values: [`${n}`] });
        assert.deepStrictEqual([first.rows, second.rows], [[{ who: 'one', n }], [{ other: `${n}` }]]);
      }
    }),
  ));

check('named statements serve in and out of transactions', () =>
  withClient(async (client) => {
    for (const n of numbers(20)) {
      if (n % 4 === 0) await client.query('BEGIN');
      for (const k of numbers(3)) {
        const { rows } = await client.query({ name: `plus ${k}`, text: `SELECT $1::int + ${k} AS n`, values: [n] });
        assert.strictEqual(rows[0].n, n + k);
      }
      if (n % 4 === 3) await client.query('COMMIT');
    }
  }));

check('named statements of 30 clients over few server connections', () =>
  withPool((pool) =>
    Promise.all(
      numbers(CLIENTS).map(async (n) => {
        const client = await pool.connect();
        for (const k of numbers(20)) {
          const { rows } = await client.query({ name: 'same', text: `SELECT ${n} AS n, $1::int AS k`, values: [k] });
          assert.deepStrictEqual(rows, [{ n, k }]);
        }
        client.release();
      }),
    ),
  ));

// A named statement that 0A000 was about stays as it is: after that, another name.
check('30 clients with named statements under DDL: right answers, and no error without a reason', () =>
  underDdl({
    async connect() {
      const client = new Client();
      await client.connect();
      client.names = {};
      return client;
    },
    end: (client) => client.end(),
    async ask(client, { number, query }, n) {
      client.names[number] ??= `text ${number}`;
      const { rows, fields } = await client.query({ name: client.names[number], text: query, values: [n], rowMode: 'array' });
      return { names: fields.map(({ name }) => name), values: rows[0] };
    },
    async transaction(client, work) {
      await client.query('BEGIN');
      try {
        await work(client);
        await client.query('COMMIT');
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      }
    },
    async change(client, statements, inTransaction) {
      if (inTransaction) await this.transaction(client, async () => { for (const each of statements) await client.query(each); });
      else await client.query(statements.join('; '));
    },
    isForgiven(error, attempt, client) {
      if (error.code === '42P01') return attempt.mayBeMissing();
      if (error.code !== '0A000' || !attempt.mayHaveAnotherType()) return false;
      client.names[attempt.text.number] += '!';
      attempt.preparedAnew();
      return true;
    },
  }));

// node-postgres cancels by a second client that borrows the first one's key.
async function cancel(client) {
  await new Promise((resolve, reject) => {
    const { Connection } = require('pg');
    const connection = new Connection({});
    connection.once('error', reject);
    connection.once('end', resolve);
    connection.once('connect', () => connection.cancel(client.processID, client.secretKey));
    connection.connect(client.port, client.host);
  });
}

check('a cancel request ends the query that runs, and no other', () =>
  withClient((client) =>
    withClient(async (other) => {
      for (const n of numbers(10)) {
        const running = rejects('57014', client.query('SELECT pg_sleep(60)'));
        const untouched = other.query('SELECT $1::int AS n FROM pg_sleep(0.1)', [n]);
        await sleep(30);
        await cancel(client);
        await running;
        assert.strictEqual((await untouched).rows[0].n, n);
        assert.strictEqual((await client.query('SELECT $1::int AS n', [n])).rows[0].n, n);
      }
    }),
  ));

check('a cancel request with a wrong key hits nobody', () =>
  withClient(async (client) => {
    const running = client.query('SELECT 7 AS n FROM pg_sleep(0.3)');
    await sleep(50);
    const wrong = { port: client.port, host: client.host, processID: client.processID, secretKey: client.secretKey ^ 1 };
    await cancel(wrong);
    assert.strictEqual((await running).rows[0].n, 7);
  }));

check('query_timeout gives up the query and its transaction', async () => {
  await server.freshTable('written', 'n int');
  const client = new Client({ query_timeout: 200 });
  client.on('error', () => {});
  await client.connect();
  await client.query('BEGIN');
  await client.query('INSERT INTO written VALUES (1)');
  await assert.rejects(client.query('SELECT pg_sleep(60)'), /timeout/);
  client.connection.stream.destroy();
  await server.noTransactionIsOpen();
  assert.strictEqual(await server.value('SELECT count(*) FROM written'), '0');
});

check('30 clients whose sockets are destroyed in mid-transaction leave nothing', async () => {
  await server.freshTable('written', 'n int');
  await Promise.all(
    numbers(CLIENTS).map(async (n) => {
      const client = new Client();
      client.on('error', () => {});
      await client.connect();
      await client.query('BEGIN');
      await client.query('INSERT INTO written VALUES ($1)', [n]);
      if (n % 2) client.query('SELECT pg_sleep(60)').catch(() => {});
      await sleep(n % 5);
      client.connection.stream.destroy();
    }),
  );
  await server.noTransactionIsOpen();
  assert.strictEqual(await server.value('SELECT count(*) FROM written'), '0');
  await withPool(async (pool) => {
    const got = await Promise.all(numbers(CLIENTS).map((n) => pool.query('SELECT $1::int AS n', [n])));
    assert.deepStrictEqual(got.map(({ rows }) => rows[0].n), numbers(CLIENTS));
  });
});

check('200,000 rows and a value of 16 MB', () =>
  withClient(async (client) => {
    const { rows } = await client.query("SELECT n, 'row ' || n AS said FROM generate_series(1, $1) n", [200000]);
    assert.strictEqual(rows.length, 200000);
    rows.forEach(({ n, said }, k) => assert.ok(n === k + 1 && said === `row ${n}`));
    const sent = Buffer.alloc(16 * 1024 * 1024, 'node');
    const back = await client.query('SELECT $1::bytea AS data', [sent]);
    assert.ok(sent.equals(back.rows[0].data));
  }));

check('a large result read slowly does not hold up the others', () =>
  withPool(async (pool) => {
    const slow = await pool.connect();
    const running = slow.query("SELECT repeat('x', 1000) AS x FROM generate_series(1, 50000)");
    slow.connection.stream.pause();
    for (const n of numbers(20)) {
      assert.strictEqual((await pool.query('SELECT $1::int AS n', [n])).rows[0].n, n);
    }
    slow.connection.stream.resume();
    assert.strictEqual((await running).rows.length, 50000);
    slow.release();
  }));

check('notices come to their own client', () =>
  withClient((one) =>
    withClient(async (other) => {
      const heard = [];
      one.on('notice', ({ message }) => heard.push(`one ${message}`));
      other.on('notice', ({ message }) => heard.push(`other ${message}`));
      await one.query("DO $$ BEGIN RAISE NOTICE 'a'; END $$");
      await other.query("DO $$ BEGIN RAISE NOTICE 'b'; END $$");
      assert.deepStrictEqual(heard, ['one a', 'other b']);
    }),
  ));

check('login: the wrong password, the trusted user', async () => {
  const error = await rejects('28P01', withClient(async () => {}, { password: 'wrong' }));
  assert.match(error.message, /password authentication failed for user/);
  const user = process.env.PGWEAVE_TEST_TRUST_USER;
  const { rows } = await withClient((client) => client.query('SELECT current_user AS who'), {
    user,
    port: Number(process.env.PGWEAVE_TEST_TRUST_PORT),
    password: '',
  });
  assert.deepStrictEqual(rows, [{ who: user }]);
});

if (poolSize !== null) {
  check('every table of the console has its columns, over both protocols', () =>
    withClient(
      async (client) => {
        const oids = { int4: 23, int8: 20, numeric: 1700, text: 25 };
        const tables = Object.entries(require('../console.json'));
        assert.ok(tables.length > 0);
        for (const [name, written] of tables) {
          const columns = written.split(', ').filter(Boolean).map((column) => column.split(' '));
          const simple = await client.query(`SHOW ${name}`);
          const extended = await client.query({ text: `SHOW ${name}`, name: `show ${name}` });
          for (const { fields, rows } of columns.length > 0 ? [simple, extended] : []) {
            const found = fields.map((field) => [field.name, field.dataTypeID]);
            assert.deepStrictEqual(found, columns.map(([column, kind]) => [column, oids[kind]]), name);
            for (const row of rows) {
              for (const [column, kind] of columns) {
                // This driver has eight bytes and numerics as text.
                const is = kind === 'int4' ? 'number' : 'string';
                assert.ok(row[column] === null || typeof row[column] === is, `${name} ${column} ${row[column]}`);
                assert.ok(kind === 'text' || row[column] === null || /^[0-9]+$/.test(row[column]), `${name} ${column}`);
              }
            }
          }
        }
      },
      { database: 'pgbouncer' },
    ));
}

run('node');
