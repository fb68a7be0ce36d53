// page_checks.js - what is wrong with the page as it is rendered here and now, one line for each fault: run by test/tap/142_browser.pl.
const faults = [];
const fault = (what, e) => faults.push(e ? `${what}: <${e.tagName.toLowerCase()}> ${e.textContent.trim().slice(0, 60)}` : what);
const all = selector => Array.from(document.querySelectorAll(selector));
const closed = e => { const d = e.closest('details:not([open])'); return d !== null && e.closest('summary') === null; };

// ---- a phone: nothing is wider than the page but what scrolls by itself
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) fault(`the page scrolls sideways: ${document.documentElement.scrollWidth} > ${width}`);
for (const e of all('body *')) {
	const box = e.getBoundingClientRect();
	if (box.width > 0 && !e.closest('.wide > *, svg') && (box.right > width + 1 || box.left < -1)) fault('beyond the edge', e);
}
for (const e of all('.wide')) {
	if (e.scrollWidth > e.clientWidth && e.tabIndex !== 0) fault('scrolls, and no key reaches it', e);
}

// ---- structure
if (!document.documentElement.lang) fault('no language');
if (!document.title) fault('no title');
if (all('h1').length !== 1 || all('main').length !== 1) fault('not one h1 and one main');
let level = 0;
for (const h of all('h1, h2, h3, h4')) {
	if (Number(h.tagName[1]) > level + 1) fault('a heading skips a level', h);
	level = Number(h.tagName[1]);
}
const ids = all('[id]').map(e => e.id);
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) fault(`the id ${id} is there twice`);
for (const e of all('[aria-labelledby], a[href^="#"]')) {
	const names = (e.getAttribute('aria-labelledby') || e.getAttribute('href').slice(1)).split(' ');
	for (const name of names) if (!ids.includes(name)) fault(`${name} is not there`, e);
}
for (const e of all('nav, section, [role=region]')) if (!e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')) fault('no label', e);
for (const e of all('table')) {
	if (!e.caption || !e.caption.textContent) fault('no caption', e);
	if (e.querySelector('th:not([scope])')) fault('a heading of nothing', e);
	for (const row of e.tBodies[0].rows) if (row.cells.length !== e.tHead.rows[0].cells.length) fault('another number of cells', row);
}
for (const e of all('svg')) {
	if (e.getAttribute('aria-hidden') === 'true') continue;
	if (e.getAttribute('role') !== 'img' || !e.querySelector('title')?.textContent || !e.querySelector('desc')?.textContent) fault('a drawing without a title', e.parentElement);
}
for (const e of all('details')) if (!e.querySelector(':scope > summary')) fault('no summary', e);

// ---- contrast (WCAG 2, AA)
const rgb = text => { const n = text.match(/[\d.]+/g).map(Number); return { c: n.slice(0, 3), a: n.length > 3 ? n[3] : 1 }; };
const luminance = c => {
	const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = e => {
	for (let p = e; p; p = p.parentElement) {
		const colour = rgb(getComputedStyle(p).backgroundColor);
		if (colour.a === 1) return colour.c;
		if (colour.a > 0) fault('a ground that is seen through', p);
	}
	return [255, 255, 255];
};
const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
let least = 21;
for (const e of all('body *')) {
	if (closed(e)) continue;
	const style = getComputedStyle(e);
	const graphic = e.tagName === 'path';
	if (!graphic && !Array.from(e.childNodes).some(n => n.nodeType === 3 && n.textContent.trim())) continue;
	if (e.closest('svg') && !graphic) continue;
	const colour = graphic ? (style.fill !== 'none' ? style.fill : style.stroke) : style.color;
	const ratio = contrast(rgb(colour).c, ground(e));
	const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
	if (!graphic) least = Math.min(least, ratio);
	if (ratio < (graphic || large ? 3 : 4.5)) fault(`contrast ${ratio.toFixed(2)}`, e);
	if (!graphic && parseFloat(style.fontSize) < 12) fault(`letters of ${style.fontSize}`, e);
}
if (least === 21) fault('no text was looked at');
return faults;
