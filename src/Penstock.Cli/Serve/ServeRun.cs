using System.Text.Json.Nodes;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>One run of <c>penstock serve</c>.</summary>
internal sealed class ServeRun(DeviceCatalog catalog, ServeOptions options, Output output)
{
    private SessionEnd? _lastEnd;

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        DeviceEntry entry = catalog.Find(options.Device);
        SocketPath.Check(options.Socket);
        using ServedDevice device = CreateDevice();
        using MessageRecorder? recorder = options.RecordFile is string file ? StartRecording(file) : null;
        using PciFunctionServer server = Listen(device, recorder);
        Announce(entry, device);
        if (device.Console is IDeviceConsole console)
        {
            console.Notice += Say;
            new StandardInputConsole(console, Answer).Start();
        }

        // The wait also ends by itself: after the only client, or when the server cannot go on.
        var stopped = new TaskCompletionSource();
        using (cancellation.Register(stopped.SetResult))
        {
            Task ended = Task.Factory.StartNew(
                () => server.Wait(Timeout.InfiniteTimeSpan), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            await Task.WhenAny(ended, stopped.Task);
        }

        return stopped.Task.IsCompleted || (options.Once && _lastEnd is { Kind: SessionEndKind.ClientClosed or SessionEndKind.ClientVanished })
            ? ExitStatus.Done
            : throw new IOException(_lastEnd is { } end && options.Once
                ? $"the client was not served to its end: {end.Reason}"
                : "the server ended by itself; the line above says why");
    }

    private ServedDevice CreateDevice()
    {
        try
        {
            return catalog.Create(options.Device, options.DeviceOptions);
        }
        catch (VfioException wrong) when (wrong.Errno == Errno.EINVAL)
        {
            throw new UsageException($"{wrong.What}: {wrong.Why}");
        }
    }

    private MessageRecorder StartRecording(string file)
    {
        try
        {
            return MessageRecorder.Create(file, output.Note);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string why = e switch
            {
                ArgumentException => "that is no file name",
                _ when Directory.Exists(file) => "it is a folder",
                DirectoryNotFoundException => "its folder does not exist",
                UnauthorizedAccessException => "this user may not write there",
                _ => e.Message.TrimEnd('.'),
            };
            throw new IOException($"cannot record to '{file}': {why}; name a file that can be written with --record", e);
        }
    }

    private PciFunctionServer Listen(ServedDevice device, MessageRecorder? recorder)
    {
        var serverOptions = new VfioUserServerOptions
        {
            Once = options.Once,
            Guard = options.Guard,
            Processor = options.Processor,
            Observer = recorder,
            Log = output.Note,
            ClientConnected = Connected,
            ClientEnded = Ended,
        };
        try
        {
            return PciFunctionServer.Serve(device.Function, options.Socket, serverOptions);
        }
        catch (SystemCallException refused)
        {
            throw new IOException($"cannot listen on '{options.Socket}': {SocketPath.Explain(options.Socket, refused)}", refused);
        }
    }

    private void Announce(DeviceEntry entry, ServedDevice device)
    {
        string[] arguments = QemuArguments.For(options.Socket);
        string shell = QemuArguments.Shell(arguments);
        output.Line($"{entry.Name} ({entry.Ids}) is served on {options.Socket}. Arguments for QEMU 11 or newer:");
        output.Line();
        output.Line($"  {shell}");
        output.Line();
        output.Line("For a guest with more memory change both 512M.");
        output.Line(device.Console is null ? "Ctrl-C ends." : "Commands on standard input: 'help' lists them. Ctrl-C ends.");
        output.Object(new JsonObject
        {
            ["event"] = "serving",
            ["device"] = entry.Name,
            ["ids"] = entry.Ids,
            ["socket"] = options.Socket,
            ["qemu"] = shell,
            ["qemu_arguments"] = new JsonArray([.. arguments.Select(a => (JsonNode)a)]),
        });
    }

    private void Connected()
    {
        output.Note("client connected");
        output.Object(new JsonObject { ["event"] = "connected" });
    }

    private void Ended(SessionEnd end)
    {
        _lastEnd = end;
        output.Object(new JsonObject { ["event"] = "ended", ["kind"] = end.Kind.ToString(), ["reason"] = end.Reason });
    }

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
        else if (!output.Json)
        {
            output.Note(reply.Text);
        }

        output.Object(new JsonObject { ["event"] = "reply", ["ok"] = reply.Succeeded, ["text"] = reply.Text });
    }
}
