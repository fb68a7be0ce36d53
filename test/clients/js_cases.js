// What the cases of make check-clients share in JavaScript, whichever driver they are made with.

// 'heard' when a payload names the payment; 'lost' after the seconds that the test gives it.  listen(hear): call hear with each payload from now on.  pay: with another connection; its payment_id.
exports.heard = async (listen, pay) => {
  const payloads = [];
  let wake = () => {};
  await listen(payload => { payloads.push(payload); wake(); });
  const payment_id = await pay();
  const there = () => payloads.some(p => p.includes(payment_id));
  return new Promise(done => {
    const timer = setTimeout(() => done('lost'), 1000 * process.env.LISTEN_SECONDS);
    wake = () => { if (there()) { clearTimeout(timer); done('heard'); } };
    wake();
  });
};

// In which types a payment's columns come.
exports.typesOf = row =>
  ['payment_id', 'status', 'amount', 'details', 'created_at', 'replayed'].map(k => row[k] instanceof Date ? 'Date' : typeof row[k]).join(' ');

// Each case on a connection of its own, a line for each.
exports.run = async (cases, connected, end) => {
  for (const [name, code] of Object.entries(cases)) {
    const connection = await connected();
    let result;
    try {
      result = await code(connection);
    } catch (e) {
      result = /^PW/.test(e.code) ? `${e.code} ${/^[[{]/.test(e.detail || '') ? 'DETAIL' : 'no DETAIL'}` : e.code;
    }
    console.log(`${name}\t${result}`);
    await end(connection);
  }
};
