import { defineConnector } from "@cofferdam/connector";

export default defineConnector({ name: "shop", version: "1.0.0" });
