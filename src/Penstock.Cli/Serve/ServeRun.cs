using System.Text.Json.Nodes;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>One run of <c>penstock serve</c>.</summary>
internal sealed class ServeRun(DeviceCatalog catalog, ServeOptions options, Output output)
{
    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        DeviceEntry entry = catalog.Find(options.Device);
        CheckSocketPath(options.Socket);
        using ServedDevice device = catalog.Create(options.Device, options.DeviceOptions);
        using MessageRecorder? recorder = options.RecordFile is string file ? MessageRecorder.Create(file) : null;
        var ended = new TaskCompletionSource();
        using PciFunctionServer server = Listen(device, recorder, ended);
        Announce(entry, device);
        if (device.Console is IDeviceConsole console)
        {
            console.Notice += Say;
            new StandardInputConsole(console, Answer).Start();
        }

        using (cancellation.Register(() => ended.TrySetResult()))
        {
            await ended.Task;
        }

        return ExitStatus.Done;
    }

    private PciFunctionServer Listen(ServedDevice device, MessageRecorder? recorder, TaskCompletionSource ended)
    {
        var serverOptions = new VfioUserServerOptions
        {
            Once = options.Once,
            Guard = options.Guard,
            Processor = options.Processor,
            Observer = recorder,
            Log = Log,
            ClientConnected = () => Happened("connected", "client connected"),
            ClientEnded = end =>
            {
                output.Object(new JsonObject { ["event"] = "ended", ["kind"] = end.Kind.ToString(), ["reason"] = end.Reason });
                if (options.Once)
                {
                    ended.TrySetResult();
                }
            },
        };
        try
        {
            return PciFunctionServer.Serve(device.Function, options.Socket, serverOptions);
        }
        catch (SystemCallException refused)
        {
            throw new IOException($"cannot listen on {options.Socket}: {Explain(refused)}", refused);
        }
    }

    private static string Explain(SystemCallException refused) => refused.Errno switch
    {
        Errno.EADDRINUSE => "the path is in use by another server or another file; choose another path, or end that server",
        Errno.ENOENT or Errno.ENOTDIR => "its folder does not exist; create it first",
        Errno.EACCES or Errno.EPERM => "this user may not create files there; choose a folder of your own",
        _ => refused.Message,
    };

    private static void CheckSocketPath(string path)
    {
        int bytes = System.Text.Encoding.UTF8.GetByteCount(path);
        if (bytes is 0 or > 107)
        {
            throw new UsageException($"serve: the socket path '{path}' has {bytes} bytes; a Unix socket's has 1 to 107, so choose a shorter one");
        }
    }

    private void Announce(DeviceEntry entry, ServedDevice device)
    {
        string arguments = QemuArguments.For(options.Socket);
        output.Line($"{entry.Name} ({entry.Ids}) is served on {options.Socket}. QEMU 11 or later takes it with:");
        output.Line();
        output.Line($"  {arguments}");
        output.Line();
        if (device.Console is not null)
        {
            output.Line("Commands on standard input: 'help' lists them. Ctrl-C ends.");
        }

        output.Object(new JsonObject
        {
            ["event"] = "serving",
            ["device"] = entry.Name,
            ["ids"] = entry.Ids,
            ["socket"] = options.Socket,
            ["qemu"] = arguments,
        });
    }

    private void Happened(string name, string text)
    {
        output.Line(text);
        output.Object(new JsonObject { ["event"] = name });
    }

    private void Log(string line) => output.Note(line);

    private void Say(string line)
    {
        output.Line(line);
        output.Object(new JsonObject { ["event"] = "notice", ["text"] = line });
    }

    private void Answer(DeviceReply reply)
    {
        if (reply.Succeeded)
        {
            output.Line(reply.Text);
        }
        else
        {
            output.Note(reply.Text);
        }

        output.Object(new JsonObject { ["event"] = "reply", ["ok"] = reply.Succeeded, ["text"] = reply.Text });
    }
}
