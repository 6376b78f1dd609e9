// postgres.js through the pooler. It prepares every query that has parameters.
'use strict';

const assert = require('node:assert');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const postgres = require('postgres');
const { check, poolSize, rejects, run, server, sleep } = require('./case.js');
const { underDdl } = require('./ddl.js');

const CLIENTS = 30;

const open = (options) => postgres({ max: 1, ...options });

// `max: 1`: everything goes over one connection.
async function withSql(work, options = {}) {
  const sql = open(options);
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const withPool = (work) => withSql(work, { max: CLIENTS });

// That many clients with a connection each.
async function withClients(count, work) {
  const clients = numbers(count).map(() => open());
  try {
    return await work(clients);
  } finally {
    await Promise.all(clients.map((sql) => sql.end({ timeout: 5 })));
  }
}

const numbers = (count) => Array.from({ length: count }, (_, n) => n);

check('values come back as they were sent', () =>
  withSql(async (sql) => {
    const sent = [42, 'ünï 漢字 🙂', true, null, Buffer.from(numbers(256)), new Date(86400000), ['a', 'b"'], { a: [1] }];
    const [n, text, yes, nothing, bytes, date, array, json] = sent;
    const [row] = await sql`SELECT ${n}::int, ${text}::text, ${yes}::bool, ${nothing}::text, ${bytes}::bytea,
      ${date}::timestamptz, ${array}::text[], ${sql.json(json)}::jsonb`.values();
    assert.deepStrictEqual(row, sent);
    const rows = await sql`SELECT n FROM generate_series(1, ${10}::int) n WHERE n > ${7}`;
    assert.deepStrictEqual(rows.map((each) => each.n), [8, 9, 10]);
    assert.strictEqual(rows.count, 3);
    assert.deepStrictEqual(rows.columns.map(({ name }) => name), ['n']);
  }));

check('1,000 queries of a pool at once: each gets its own answer, over few server connections', () =>
  withPool(async (sql) => {
    let most = 0;
    let watching = true;
    const watch = (async () => {
      while (watching) {
        most = Math.max(most, await server.connections());
        await sleep(10);
      }
    })();
    const got = await Promise.all(numbers(1000).map((n) => sql`SELECT ${n}::int * 2 AS n`));
    watching = false;
    await watch;
    assert.deepStrictEqual(got.map(([{ n }]) => n), numbers(1000).map((n) => n * 2));
    assert.ok(most > 0);
    if (poolSize !== null) assert.ok(most <= poolSize, `${most} server connections`);
  }));

check('30 clients with statements of their own and of all, over few server connections', () =>
  withClients(CLIENTS, (clients) =>
    Promise.all(
      clients.map(async (sql, client) => {
        for (const k of numbers(20)) {
          const own = await sql.unsafe(`SELECT ${client} AS client, $1::int AS k`, [k], { prepare: true });
          assert.deepStrictEqual([...own], [{ client, k }]);
          const shared = await sql`SELECT ${k}::int AS k, ${`${client}`}::text AS said`;
          assert.deepStrictEqual([...shared], [{ k, said: `${client}` }]);
        }
      }),
    ),
  ));

check('a statement is described before it runs', () =>
  withSql(async (sql) => {
    for (const _ of numbers(3)) {
      const { columns, types } = await sql`SELECT ${'1'}::int AS n, ${'said'}::text AS said`.describe();
      assert.deepStrictEqual(columns.map(({ name, type }) => [name, type]), [['n', 23], ['said', 25]]);
      assert.deepStrictEqual(types, [23, 25]);
    }
    await rejects('42P01', sql`SELECT ${1}::int FROM nowhere`.describe());
    assert.deepStrictEqual([...(await sql`SELECT ${5}::int AS n`)], [{ n: 5 }]);
  }));

check('queries sent together on one connection are answered in order, errors among them', () =>
  withSql(async (sql) => {
    await sql`SELECT 100 / ${1}::int AS n`;
    const ends = await Promise.allSettled(numbers(90).map((n) => sql`SELECT 100 / ${n % 3}::int AS n`));
    ends.forEach((end, n) => {
      if (n % 3 === 0) assert.strictEqual(end.reason.code, '22012');
      else assert.strictEqual(end.value[0].n, 100 / (n % 3));
    });
  }));

check('an error has its fields and the connection goes on', () =>
  withSql(async (sql) => {
    for (const prepare of [true, false]) {
      const query = (text, values) => sql.unsafe(text, values, { prepare });
      const error = await rejects('42601', query('SELEC $1', [1]));
      assert.deepStrictEqual([error.severity, error.position, error.routine], ['ERROR', '1', 'scanner_yyerror']);
      await rejects('42P01', query('SELECT * FROM nowhere WHERE n = $1', [1]));
      await rejects('22P02', query('SELECT $1::text::int AS n', ['no number']));
      assert.deepStrictEqual([...(await query('SELECT $1::int AS n', [5]))], [{ n: 5 }]);
    }
  }));

check('several statements in one query give several results', () =>
  withSql(async (sql) => {
    const results = await sql`SELECT 1 AS n; SELECT 2 AS n, 3 AS m; SELECT 4 AS n`.simple();
    assert.deepStrictEqual(results.map((rows) => [...rows]), [[{ n: 1 }], [{ n: 2, m: 3 }], [{ n: 4 }]]);
    await rejects('22012', sql.unsafe('SELECT 1; SELECT 1 / 0; SELECT 2'));
  }));

check('transactions of 30 connections, a third rolled back, a third failing', async () => {
  await server.freshTable('written', 'n int PRIMARY KEY');
  await withPool((sql) =>
    Promise.all(
      numbers(120).map(async (n) => {
        const ends = sql.begin(async (transaction) => {
          const rows = await transaction`INSERT INTO written VALUES (${n}) RETURNING n`;
          assert.deepStrictEqual([...rows], [{ n }]);
          if (n % 3 === 1) await transaction`INSERT INTO written VALUES (${n})`;
          if (n % 3 === 2) throw Object.assign(new Error('on purpose'), { code: 'on purpose' });
        });
        await (n % 3 === 0 ? ends : rejects(n % 3 === 1 ? '23505' : 'on purpose', ends));
        assert.deepStrictEqual([...(await sql`SELECT ${n}::int AS n`)], [{ n }]);
      }),
    ),
  );
  const kept = (await server.query('SELECT n FROM written ORDER BY n')).map(({ n }) => n);
  assert.deepStrictEqual(kept, numbers(120).filter((n) => n % 3 === 0));
});

check('a savepoint keeps the rest of a transaction, also within another', async () => {
  await server.freshTable('written', 'n int PRIMARY KEY');
  await withSql((sql) =>
    sql.begin(async (transaction) => {
      await transaction`INSERT INTO written VALUES (${1})`;
      await rejects('22012', transaction.savepoint((inner) => inner`SELECT 1 / ${0}::int`));
      await transaction.savepoint(async (inner) => {
        await inner`INSERT INTO written VALUES (${2})`;
        await rejects('23505', inner.savepoint((innermost) => innermost`INSERT INTO written VALUES (${1})`));
      });
      await transaction`INSERT INTO written VALUES (${3})`;
    }),
  );
  assert.strictEqual(await server.value("SELECT string_agg(n::text, ',' ORDER BY n) FROM written"), '1,2,3');
});

check('a transaction sent as one pipeline', async () => {
  await server.freshTable('written', 'n int PRIMARY KEY');
  await withPool(async (sql) => {
    const inserts = (transaction, n) => [n, n + 1, n + 2].map((k) => transaction`INSERT INTO written VALUES (${k})`);
    await Promise.all(numbers(30).map((n) => sql.begin((transaction) => inserts(transaction, n * 10))));
    await rejects('23505', sql.begin((transaction) => inserts(transaction, 289)));
  });
  assert.strictEqual(await server.value('SELECT count(*) FROM written'), '90');
});

check('a cursor brings every row once, in order, and may be left half-read', () =>
  withSql(async (sql) => {
    for (const size of [1, 7, 5000]) {
      const got = [];
      for await (const rows of sql`SELECT n FROM generate_series(1, ${1000}::int) n`.cursor(size)) {
        got.push(...rows.map(({ n }) => n));
      }
      assert.deepStrictEqual(got, numbers(1000).map((n) => n + 1), `by ${size}`);
    }
    for await (const [{ n }] of sql`SELECT n FROM generate_series(1, ${100000}::int) n`.cursor()) {
      if (n === 25) break;
    }
    assert.deepStrictEqual([...(await sql`SELECT ${'own'}::text AS said`)], [{ said: 'own' }]);
  }));

check('rows come one by one while they are read', () =>
  withSql(async (sql) => {
    let sum = 0;
    const { count } = await sql`SELECT n FROM generate_series(1, ${50000}::int) n`.forEach(({ n }) => { sum += n; });
    assert.deepStrictEqual([count, sum], [50000, 1250025000]);
  }));

check('200,000 rows and a value of 16 MB', () =>
  withSql(async (sql) => {
    const rows = await sql`SELECT n, 'row ' || n AS said FROM generate_series(1, ${200000}::int) n`;
    assert.strictEqual(rows.length, 200000);
    rows.forEach(({ n, said }, k) => assert.ok(n === k + 1 && said === `row ${n}`));
    const sent = Buffer.alloc(16 * 1024 * 1024, 'node');
    const [{ data }] = await sql`SELECT ${sent}::bytea AS data`;
    assert.ok(sent.equals(data));
  }));

check('COPY in and out, and one that the client gives up', async () => {
  await server.freshTable('copied', 'n int, said text');
  const line = (n) => `${n}\tsaid ${n}\n`;
  await withSql(async (sql) => {
    const into = await sql`COPY copied FROM STDIN`.writable();
    await pipeline(Readable.from(numbers(5000).map(line)), into);
    assert.strictEqual(await server.value('SELECT count(*) FROM copied'), '5000');
    // No more than fits in a stream's buffer: this driver may read no further then.
    let out = '';
    for await (const piece of await sql`COPY (SELECT * FROM copied WHERE n < 500 ORDER BY n) TO STDOUT`.readable()) out += piece;
    assert.strictEqual(out, numbers(500).map(line).join(''));
    const given = await sql`COPY copied FROM STDIN`.writable();
    given.on('error', () => {});
    given.write(line(1));
    given.destroy(new Error('on purpose'));
    assert.deepStrictEqual([...(await sql`SELECT count(*)::int AS n, ${'own'}::text AS said FROM copied`)], [{ n: 5000, said: 'own' }]);
  });
});

check('cancel() ends the query that runs, and no other', () =>
  withClients(2, async ([sql, other]) => {
    for (const n of numbers(10)) {
      const running = sql`SELECT pg_sleep(60)`.execute();
      const untouched = other`SELECT ${n}::int AS n FROM pg_sleep(0.1)`.execute();
      await sleep(50);
      running.cancel();
      await rejects('57014', running);
      assert.deepStrictEqual([...(await untouched)], [{ n }]);
      assert.deepStrictEqual([...(await sql`SELECT ${n}::int AS n`)], [{ n }]);
    }
  }));

check('statement_timeout in a transaction fails that transaction only', async () => {
  await server.freshTable('written', 'n int');
  await withSql(async (sql) => {
    const late = sql.begin(async (transaction) => {
      await transaction`INSERT INTO written VALUES (${1})`;
      await transaction`SET LOCAL statement_timeout = '50ms'`;
      await transaction`SELECT ${1}::int FROM pg_sleep(60)`;
    });
    await rejects('57014', late);
    assert.deepStrictEqual([...(await sql`SELECT ${1}::int AS n FROM pg_sleep(0.1)`)], [{ n: 1 }]);
  });
  assert.strictEqual(await server.value('SELECT count(*) FROM written'), '0');
});

check('a pool whose connections are ended and reserved goes on', () =>
  withSql(async (sql) => {
    for (const n of numbers(20)) {
      const reserved = await sql.reserve();
      const asked = numbers(10).map((k) => sql`SELECT ${n * k}::int AS n`);
      assert.deepStrictEqual([...(await reserved`SELECT ${n}::int AS n`)], [{ n }]);
      reserved.release();
      assert.deepStrictEqual((await Promise.all(asked)).map(([row]) => row.n), numbers(10).map((k) => n * k));
      if (n % 5 === 4) await sleep(120);
    }
  }, { max: 3, idle_timeout: 0.1, max_lifetime: 0.5 }));

check('server connections that end while they are idle are noticed by no query', () =>
  withPool(async (sql) => {
    const ask = async () => {
      const got = await Promise.all(numbers(60).map((n) => sql`SELECT ${n}::int AS n`));
      assert.deepStrictEqual(got.map(([{ n }]) => n), numbers(60));
    };
    await ask();
    const query = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND datname = $2';
    await server.query(query, [process.env.PGUSER, process.env.PGDATABASE]);
    await sleep(200);
    await ask();
  }));

check('a prepared statement heals when its table changes, whichever server connection it meets', async () => {
  await server.freshTable('shape', 'n int');
  await server.query('INSERT INTO shape VALUES (1)');
  await withClients(6, async (clients) => {
    for (const k of numbers(5)) {
      const columns = (count) => Object.fromEntries(numbers(count).map((added) => [`c${added}`, added]));
      const ask = (sql) => sql.unsafe(`SELECT ${k} AS k, * FROM shape WHERE n = $1`, [1], { prepare: true });
      // In turn: one server connection will do, the others do not see the statement.
      for (const sql of clients) assert.deepStrictEqual([...(await ask(sql))], [{ k, n: 1, ...columns(k) }]);
      await clients[k].unsafe(`ALTER TABLE shape ADD COLUMN c${k} int DEFAULT ${k}`);
      for (const rows of await Promise.all(clients.map(ask))) assert.deepStrictEqual([...rows], [{ k, n: 1, ...columns(k + 1) }]);
    }
  });
});

check('who listens hears what others notify', () =>
  withClients(2, async ([sql, other]) => {
    const heard = [];
    const { unlisten } = await sql.listen('news', (said) => heard.push(said));
    for (const n of numbers(5)) await other.notify('news', `no ${n}`);
    for (let tries = 0; heard.length < 5 && tries < 100; tries++) await sleep(20);
    await unlisten();
    assert.deepStrictEqual(heard, numbers(5).map((n) => `no ${n}`));
  }));

check('login: the wrong password, the trusted user', async () => {
  const error = await rejects('28P01', withSql((sql) => sql`SELECT 1`, { password: 'wrong' }));
  assert.match(error.message, /password authentication failed for user/);
  const user = process.env.PGWEAVE_TEST_TRUST_USER;
  const port = Number(process.env.PGWEAVE_TEST_TRUST_PORT);
  const rows = await withSql((sql) => sql`SELECT current_user::text AS who`, { user, port, password: '' });
  assert.deepStrictEqual([...rows], [{ who: user }]);
});

// postgres.js prepares anew by itself after 0A000, but once only, and not in a
// transaction: there it tries, too, and then tells the 0A000.
check('30 clients with prepared statements under DDL: right answers, and no error without a reason', () =>
  underDdl({
    connect: async () => open(),
    end: (sql) => sql.end({ timeout: 5 }),
    async ask(sql, { query }, n) {
      const rows = await sql.unsafe(query, [n], { prepare: true }).values();
      return { names: rows.columns.map(({ name }) => name), values: rows[0] };
    },
    transaction: (sql, work) => sql.begin(work),
    async change(sql, statements, inTransaction) {
      if (inTransaction) await sql.begin(async (transaction) => { for (const each of statements) await transaction.unsafe(each); });
      else await sql.unsafe(statements.join('; '));
    },
    isForgiven(error, attempt, _, inTransaction) {
      if (error.code === '42P01') return attempt.mayBeMissing();
      const again = inTransaction || attempt.typeChangedMeanwhile() || attempt.mayBeMissing();
      if (error.code !== '0A000' || !attempt.mayHaveAnotherType() || !again) return false;
      attempt.preparedAnew();
      return true;
    },
  }));

run('postgres_js');
