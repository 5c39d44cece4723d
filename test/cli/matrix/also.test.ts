import { describeRows } from "../../support/matrix.ts";
import { also } from "./also.ts";

describeRows(also);
