// Subscribers that want only some publications of a channel.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suite } from '../harness/suite.mjs';

const QUOTES = [
  { ticker: 'AAPL', price: '90' },
  { ticker: 'AAPL', price: '150.5' },
  { ticker: 'GOOG', price: '99' },
  { ticker: 'MSFT', price: '300', venue: 'NYSE' },
  { price: '7' },
  {},
];

const FILTERS = [
  ['eq', { key: 'ticker', cmp: 'eq', val: 'AAPL' }, [0, 1]],
  ['neq', { key: 'ticker', cmp: 'neq', val: 'AAPL' }, [2, 3, 4, 5]],
  ['in', { key: 'ticker', cmp: 'in', vals: ['GOOG', 'MSFT'] }, [2, 3]],
  ['nin', { key: 'ticker', cmp: 'nin', vals: ['GOOG', 'MSFT'] }, [0, 1, 4, 5]],
  ['ex', { key: 'venue', cmp: 'ex' }, [3]],
  ['nex', { key: 'ticker', cmp: 'nex' }, [4, 5]],
  ['sw', { key: 'ticker', cmp: 'sw', val: 'AA' }, [0, 1]],
  ['ew', { key: 'ticker', cmp: 'ew', val: 'T' }, [3]],
  ['ct', { key: 'ticker', cmp: 'ct', val: 'OO' }, [2]],
  ['lt', { key: 'price', cmp: 'lt', val: '99' }, [0, 4]],
  ['lte', { key: 'price', cmp: 'lte', val: '99' }, [0, 2, 4]],
  ['gt', { key: 'price', cmp: 'gt', val: '99.5' }, [1, 3]],
  ['gte', { key: 'price', cmp: 'gte', val: '150.5' }, [1, 3]],
  ['and', { op: 'and', nodes: [{ key: 'ticker', cmp: 'eq', val: 'AAPL' }, { key: 'price', cmp: 'gt', val: '100' }] }, [1]],
  ['or', { op: 'or', nodes: [{ key: 'venue', cmp: 'ex' }, { key: 'price', cmp: 'lt', val: '10' }] }, [3, 4]],
  ['not', { op: 'not', nodes: [{ key: 'ticker', cmp: 'ex' }] }, [4, 5]],
];

suite('tags filter', {}, (rig) => {
  const publish = async (channel, from) => {
    for (const [index, tags] of QUOTES.entries()) await rig.server.publish(channel, { n: from + index }, { tags });
  };
  // Matches the last publication of a scenario, which tells that all before it have been judged.
  const end = { key: 'end', cmp: 'ex' };

  for (const [what, filter, expected] of FILTERS) {
    test(`delivers what matches: ${what}`, async () => {
      const channel = rig.channel('tagged');
      const { client } = await rig.connected();
      const tagsFilter = { op: 'or', nodes: [filter, end] };
      const { events } = await rig.subscribed(client, channel, { tagsFilter });
      await publish(channel, 0);
      await rig.server.publish(channel, { n: 'end' }, { tags: { end: 'yes', ticker: 'none', price: 'none' } });
      await events.first(expected.length + 1, 'publication');
      assert.deepEqual(rig.values(events).map(({ n }) => n), [...expected, 'end']);
      assert.equal(events.all('subscribing').length, 1);
    });
  }

  test('recovers what matches across a cut, without false gaps', async () => {
    const channel = rig.channel('tagged');
    const link = await rig.link();
    const { client, events: connection } = await rig.connected({ link });
    const tagsFilter = { op: 'or', nodes: [{ key: 'ticker', cmp: 'eq', val: 'AAPL' }, end] };
    const { events } = await rig.subscribed(client, channel, { tagsFilter });
    await publish(channel, 0);
    await events.first(2, 'publication');
    link.cut();
    await connection.first(2, 'connecting');
    await publish(channel, 10);
    link.mend();
    const [, again] = await events.first(2, 'subscribed');
    assert.equal(again.recovered, true);
    await publish(channel, 20);
    await rig.server.publish(channel, { n: 30 }, { tags: { end: 'yes' } });
    await events.first(7, 'publication');
    assert.deepEqual(rig.values(events).map(({ n }) => n), [0, 1, 10, 11, 20, 21, 30]);
  });

  test('takes another filter at the next subscribe, for what is recovered too', async () => {
    const channel = rig.channel('tagged');
    const { client } = await rig.connected();
    const { sub, events } = await rig.subscribed(client, channel, { tagsFilter: { key: 'ticker', cmp: 'eq', val: 'GOOG' } });
    await publish(channel, 0);
    await events.first(1, 'publication');
    sub.unsubscribe();
    sub.setTagsFilter({ key: 'ticker', cmp: 'eq', val: 'MSFT' });
    sub.subscribe();
    await events.first(2, 'subscribed');
    await publish(channel, 10);
    await events.first(3, 'publication');
    assert.deepEqual(rig.values(events).map(({ n }) => n), [2, 3, 13]);
  });

  test('is refused with 107 when it is invalid or the namespace has none', async () => {
    const { client } = await rig.connected();
    const refused = async (channel, tagsFilter) => {
      const { events } = rig.subscription(client, channel, { tagsFilter });
      return (await events.next('unsubscribed')).code;
    };
    assert.equal(await refused(rig.channel('tagged'), { key: 'ticker', cmp: 'like', val: 'A' }), 107);
    assert.equal(await refused(rig.channel('tagged'), { op: 'not', nodes: [] }), 107);
    assert.equal(await refused(rig.channel('feed'), { key: 'ticker', cmp: 'ex' }), 107);
  });
});
