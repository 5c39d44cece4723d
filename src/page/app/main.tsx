/** The page begins here. */
import { render } from "preact";

import { App } from "./app.tsx";
import { connect } from "./connection.ts";
import { Model } from "./model.ts";

// the token has done its work
history.replaceState(null, "", location.pathname);

const model = new Model();
render(<App model={model} />, document.body);
connect(model);
setInterval(() => model.tick(Date.now()), 1_000);
