(() => {
  const every = 2000, kept = 60, rates = [];
  let last = null;
  const byId = (id) => document.getElementById(id);
  const read = (main) => Object.fromEntries(
    ['uptime', 'requests', 'bytes', 'handshakes'].map((name) => [name, Number(main.dataset[name])]));
  const short = (value, unit) => {
    const units = unit ? [' B', ' KiB', ' MiB', ' GiB', ' TiB'] : ['', ' k', ' M', ' G'];
    const step = unit ? 1024 : 1000;
    let at = 0;
    while (value >= step && at + 1 < units.length) { value /= step; at += 1; }
    return value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 }) + units[at] + '/s';
  };
  const show = (main) => {
    const now = read(main);
    if (last && now.uptime < last.uptime) { last = null; rates.length = 0; }
    if (last && now.uptime > last.uptime) {
      const per = (name) => (now[name] - last[name]) / (now.uptime - last.uptime);
      rates.push({ requests: per('requests'), bytes: per('bytes'), handshakes: per('handshakes') });
      if (rates.length > kept) rates.shift();
    }
    last = now;
    const rate = rates[rates.length - 1];
    if (!rate) return;
    for (const name of ['requests', 'bytes', 'handshakes']) {
      byId(name + '-rate').textContent = short(rate[name], name === 'bytes');
      const most = Math.max(...rates.map((one) => one[name]), Number.MIN_VALUE);
      const points = rates.map((one, at) =>
        `${(kept - rates.length + at) * 100 / (kept - 1)},${(29 - 28 * one[name] / most).toFixed(1)}`);
      byId(name + '-trend').setAttribute('points', points.join(' '));
    }
  };
  const refresh = async () => {
    if (!document.hidden) {
      try {
        const reply = await fetch(location.pathname, { cache: 'no-store' });
        if (!reply.ok) throw new Error(reply.status);
        const page = new DOMParser().parseFromString(await reply.text(), 'text/html');
        for (const tag of ['header', 'main']) document.querySelector(tag).replaceWith(page.querySelector(tag));
        show(document.querySelector('main'));
      } catch {
        byId('news').textContent = 'no answer';
      }
    }
    setTimeout(refresh, every);
  };
  show(document.querySelector('main'));
  setTimeout(refresh, every);
})();
