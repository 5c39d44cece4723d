import { describeRows } from "../../support/matrix.ts";
import { look } from "./look.ts";

describeRows(look);
