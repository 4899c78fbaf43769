// A certified OpenID provider (the package oidc-provider) on a port of this machine, for the tests of single sign-on.
// Arguments: the folder with its modules, and a JSON text: { key, certificate, clients }. It writes its address to
// standard output when it listens, and ends with standard input.
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';

const [modules, text] = process.argv.slice(2);
const { key, certificate, clients } = JSON.parse(text);
const { default: Provider } = await import(`${modules}/node_modules/oidc-provider/lib/index.js`);

let provider;
const server = createServer({ key, cert: certificate }, (request, response) => {
  interaction(request, response).then((served) => served || provider.callback()(request, response)).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
});

server.listen(0, '127.0.0.1', () => {
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const signing = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  provider = new Provider(issuer, {
    clients: clients.map((client) => ({ id_token_signed_response_alg: 'ES256', ...client })),
    jwks: { keys: [{ ...signing, use: 'sig', alg: 'ES256', kid: 'tests' }] },
    cookies: { keys: ['for tests alone'] },
    pkce: { required: () => true },
    claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], email: ['email', 'email_verified'] },
    acrValues: ['gold', 'silver'],
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true } },
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    // Each says of itself that it has the e-mail address of somebody else, which nobody has verified.
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@vault.example`, email_verified: false }),
    }),
    // Nobody is asked for consent.
    loadExistingGrant: async (context) => {
      const { client, session, params } = context.oidc;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope(params.scope);
      await grant.save();
      return grant;
    },
  });
  console.log(issuer);
  // Nobody reads on.
  console.log = console.info = console.error;
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

// The page on which a person says who they are, and how that was checked.
async function interaction(request, response) {
  if (!request.url.startsWith('/interaction/')) return false;
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html');
    response.end(`<form method="post" action="${request.url}"><input name="login"><input name="amr"><input name="acr">`
      + '<input name="deny"><button>Sign on</button></form>');
    return true;
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  const result = form.get('deny')
    ? { error: 'access_denied', error_description: 'the person said no' }
    : { login: { accountId: form.get('login'), amr: form.get('amr')?.split(' ').filter(Boolean), acr: form.get('acr') || undefined } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  return true;
}
