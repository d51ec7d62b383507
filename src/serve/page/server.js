// What is asked of the server, and the one stream that says when something has changed.

/** Asks for JSON; an error has the server's words. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return answer(await fetch(text ? `${path}?${text}` : path, { signal }));
}

/** Asks for something to be done. */
export async function post(path, body, signal = undefined) {
  const headers = { "content-type": "application/json" };
  return answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

async function answer(response) {
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  const content = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Error(isJson ? content.error : content.trim() || `the server answered ${response.status}`);
  return content;
}

const SHORTEST_WAIT = 1000;
const LONGEST_WAIT = 15000;

/**
 * Listens to the stream for as long as the page lives. An EventSource gives up for good after any answer but the right one, so
 * it is closed at every error and another one is opened a little later.
 */
export function listen({ pulse, state }) {
  let wait = SHORTEST_WAIT;
  const open = () => {
    const source = new EventSource("/api/events");
    source.addEventListener("pulse", (event) => {
      wait = SHORTEST_WAIT;
      state("live");
      pulse(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      source.close();
      state("lost");
      setTimeout(open, wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    });
  };
  open();
}
