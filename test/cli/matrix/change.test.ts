import { describeRows } from "../../support/matrix.ts";
import { change } from "./change.ts";

describeRows(change);
