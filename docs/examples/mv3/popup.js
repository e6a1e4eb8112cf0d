// The popup asks the service worker, which the browser starts if it does not run.

const form = document.querySelector('form');
const output = document.querySelector('output');
const note = document.querySelector('small');
const ask = (message) => chrome.runtime.sendMessage(message);

const SAYS = {
  blocked: ({ by }) => `Blocked: the publisher lists ${by}.`,
  allowed: ({ by }) => `Allowed: the publisher lists ${by}.`,
  'not listed': ({ version }) => `Not listed: proven for version ${version}.`,
  unknown: ({ why }) => `Not known: ${why}. Try again when there is a connection.`,
};

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { verdict, error, ...rest } = await ask({ ask: 'lookUp', domain: form.domain.value });
  output.dataset.verdict = verdict ?? 'error';
  output.textContent = verdict ? SAYS[verdict](rest) : error;
});

const { version, stored, error } = await ask({ ask: 'status' });
if (error) note.textContent = error;
else if (version === null) note.textContent = 'Nothing is stored yet.';
else note.textContent = `Version ${version}${stored ? ', stored' : ', being fetched'}.`;
