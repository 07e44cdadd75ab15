// Joins the parts to one object, here and in a worker that keeps the page responsive while border tables are computed.
// The worker is made of the parts' own text, because a page opened as a file may not load scripts into a worker.
(function () {
  "use strict";

  globalThis.zenlib = {};
  for (const part of globalThis.zenlibParts) part(globalThis.zenlib);

  function answer({ data: { id, text, resolution } }) {
    try {
      postMessage({ id, terms: zenlib.closedForm(zenlib.parse(text), resolution) });
    } catch (error) {
      postMessage({ id, error: error.message });
    }
  }

  const joined = globalThis.zenlibParts.map((part) => `(${part})(zenlib);`).join("\n");
  const source = `globalThis.zenlib = {};\n${joined}\nonmessage = ${answer};`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  let running = null;
  let next = null;

  function send(request) {
    running = request;
    worker.postMessage({ id: request.id, text: request.text, resolution: request.resolution });
  }

  worker.onmessage = ({ data }) => {
    const { done, id } = running;
    running = null;
    if (next) send(next);
    next = null;
    if (data.id === id) done(data);
  };

  // Calls done({terms} or {error}) later. Of requests that wait, only the newest is answered.
  let count = 0;
  zenlib.closedFormLater = (text, resolution, done) => {
    const request = { id: ++count, text, resolution, done };
    if (running) next = request;
    else send(request);
  };
})();
