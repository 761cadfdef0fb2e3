// Usage sent by CloudEvents' emitter for Node, whose bodies come in chunks.
const { CloudEvent, Mode, emitterFor, httpTransport } = require("cloudevents");

const send = httpTransport(`${process.env.SERVER}/api/v1/events`);
const authorized = { headers: { Authorization: `Bearer ${process.env.KEY}` } };

const event = (number) =>
    new CloudEvent({
        id: `npm-${number}`,
        source: "/compat/npm",
        type: "cloudevents_npm.call",
        subject: "acme",
        data: { calls: number },
    });

(async () => {
    const binary = emitterFor(send, { mode: Mode.BINARY });
    const structured = emitterFor(send, { mode: Mode.STRUCTURED });
    await binary(event(1), authorized);
    await structured(event(1), authorized);
    await binary(event(2), authorized);
    await structured(event(3), authorized);
})();
