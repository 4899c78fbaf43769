// What a person does here for a command line: shows a passkey, or makes one, and takes a code back. What the address names
// opens nothing by itself; it stands behind the '#', which a browser sends to nobody.
"use strict";

const TITLES = {
  enrol: ["Add a passkey", "A new passkey will be another way to prove that it is you.", "Make the passkey"],
  login: ["Log in with your passkey", "The password was right; your passkey completes the login.", "Show the passkey"],
  step_up: ["Confirm that it is you", "Something sensitive wants your passkey again.", "Show the passkey"],
};

const at = (id) => document.getElementById(id);

function say(text) {
  at("status").textContent = text;
}

function bytes(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

function text(buffer) {
  const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function ask(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    credentials: "omit",
    redirect: "error",
  });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.detail || answer.title || "The vault refused.");
  }
  return answer;
}

function described(list) {
  return (list || []).map((known) => ({ ...known, id: bytes(known.id) }));
}

// A new passkey.
async function made(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: described(options.excludeCredentials),
  };
  const { id, rawId, type, response } = await navigator.credentials.create({ publicKey });
  return {
    id,
    rawId: text(rawId),
    type,
    response: { attestationObject: text(response.attestationObject), clientDataJSON: text(response.clientDataJSON) },
  };
}

// A passkey that is there.
async function shown(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: described(options.allowCredentials),
  };
  const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
  return {
    id,
    rawId: text(rawId),
    type,
    response: {
      authenticatorData: text(response.authenticatorData),
      clientDataJSON: text(response.clientDataJSON),
      signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    },
  };
}

// What the browser itself says is written for developers.
function why(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "It was cancelled, took too long, or no passkey of yours is here. You can try again.";
    case "InvalidStateError":
      return "This authenticator has a passkey of yours already.";
    case "SecurityError":
      return "The browser takes no passkeys for this address: open the page by the very address that the terminal shows.";
    default:
      return error.message;
  }
}

function finish(code) {
  history.replaceState(null, "", location.pathname);
  at("about").hidden = true;
  at("done").hidden = false;
  at("title").textContent = "Done here";
  at("title").focus();
  at("code").textContent = `${code.slice(0, 4)} ${code.slice(4)}`;
  say("");
}

async function go(ceremony, about) {
  const button = at("go");
  button.disabled = true;
  say("Follow your browser and your authenticator…");
  let credential;
  try {
    credential = about.purpose === "enrol" ? await made(about.options.publicKey) : await shown(about.options.publicKey);
  } catch (error) {
    say(why(error));
    button.disabled = false;
    return;
  }
  try {
    finish((await ask("/v1/auth/passkeys/answer", { ceremony, credential })).code);
  } catch (error) {
    // The challenge is used up either way.
    say(error.message);
    button.hidden = true;
  }
}

async function begin(ceremony) {
  if (!window.PublicKeyCredential) {
    say("This browser has no passkeys, or does not trust this address.");
    return;
  }
  let about;
  try {
    about = await ask("/v1/auth/passkeys/ceremony", { ceremony });
  } catch (error) {
    say(error.message);
    return;
  }
  const [title, purpose, button] = TITLES[about.purpose];
  document.title = `${title} · ${about.vault}`;
  at("vault").textContent = about.vault;
  at("title").textContent = title;
  at("purpose").textContent = purpose;
  at("user").textContent = about.user;
  at("asked-from").textContent = about.asked_from || "an address that is not known";
  at("mark").textContent = about.mark;
  at("elsewhere").hidden = !about.asked_from_elsewhere;
  at("go").textContent = button;
  at("go").addEventListener("click", () => go(ceremony, about));
  at("by-hand").hidden = true;
  at("about").hidden = false;
  say("");
}

const named = location.hash.slice(1);
if (named) {
  begin(named);
} else {
  at("by-hand").hidden = false;
  at("by-hand").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(at("ceremony").value);
  });
}
