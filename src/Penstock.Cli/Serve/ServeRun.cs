using System.Text.Json.Nodes;
using Penstock.Devices;
using Penstock.Hypervisor;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.Pci;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Serve;

/// <summary>One run of <c>penstock serve</c>.</summary>
internal sealed class ServeRun(DeviceCatalog catalog, ServeOptions options, Output output)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<int, SessionEnd> _lastEnds = [];

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        DeviceEntry entry = catalog.Find(options.Device);
        string? plugin = options.Rpcit is null ? null : await QemuPlugin.BuildAsync(TapPlugin.Name, TapPlugin.Source, cancellation: cancellation);
        using IServing serving = Create(entry, plugin);
        foreach (ServedSocket socket in serving.Sockets)
        {
            SocketPath.Check(socket.Path);
        }

        using MessageRecorder? recorder = options.RecordFile is string file ? StartRecording(file) : null;
        Listen(serving, recorder);
        if (serving.Sockets is [{ Uuid: null } only])
        {
            Announce(entry, serving, only);
        }
        else
        {
            AnnounceParent(entry, serving);
        }

        if (serving.Console is IDeviceConsole console)
        {
            console.Notice += Say;
            new StandardInputConsole(console, Answer).Start();
        }

        // The wait also ends by itself: after the only client, or when the server cannot go on.
        var stopped = new TaskCompletionSource();
        using (cancellation.Register(stopped.SetResult))
        {
            Task ended = Task.Factory.StartNew(serving.Wait, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            await Task.WhenAny(ended, stopped.Task);
        }

        if (stopped.Task.IsCompleted)
        {
            return ExitStatus.Done;
        }

        lock (_gate)
        {
            bool served = _lastEnds.Count == serving.Sockets.Count;
            SessionEnd[] bad = [.. _lastEnds.Values.Where(e => e.Kind is not (SessionEndKind.ClientClosed or SessionEndKind.ClientVanished))];
            return options.Once && served && bad.Length == 0
                ? ExitStatus.Done
                : throw new IOException(options.Once && bad.Length != 0
                    ? $"the client was not served to its end: {bad[0].Reason}"
                    : "the server ended by itself; the line above says why");
        }
    }

    private IServing Create(DeviceEntry entry, string? plugin)
    {
        try
        {
            if (entry.ParentFactory is null)
            {
                SocketPath.Check(options.Socket);
                ServedDevice device = catalog.Create(options.Device, options.DeviceOptions);
                return options.Rpcit is not RpcitPath path ? new FunctionServing(device, options.Socket)
                    : device.Function.Description.Capabilities().OfType<MsixCapability>().Any() ? new TappedServing(device, options.Socket, path, plugin!)
                    : throw NoTap(device, $"{options.Device} has no MSI-X, which PCI on s390x cannot do without");
            }

            return options.Rpcit is not null ? throw NoTap(null, "it takes one device, and these are several")
                : options.RecordFile is null
                ? new ParentServing(catalog.CreateParent(options.Device, options.DeviceOptions), options.Socket, output.Note)
                : throw new UsageException("--record takes one device, and these are several; leave it out");
        }
        catch (VfioException wrong) when (wrong.Errno == Errno.EINVAL)
        {
            throw new UsageException($"{wrong.What}: {wrong.Why}");
        }
    }

    private static UsageException NoTap(ServedDevice? device, string why)
    {
        device?.Dispose();
        return new UsageException($"--rpcit is about a device in an s390x guest: {why}; leave it out");
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

    private void Listen(IServing serving, MessageRecorder? recorder)
    {
        int listening = 0;
        try
        {
            serving.Start(i => OptionsFor(serving, listening = i, recorder));
        }
        catch (SystemCallException refused)
        {
            string path = serving.Sockets[listening].Path;
            throw new IOException($"cannot listen on '{path}': {SocketPath.Explain(path, refused)}", refused);
        }
    }

    private VfioUserServerOptions OptionsFor(IServing serving, int position, MessageRecorder? recorder)
    {
        // Of several devices each line and event says which it is about.
        int? instance = serving.Sockets[position].Uuid is null ? null : position;
        string prefix = instance is null ? "" : $"{position}: ";
        return new VfioUserServerOptions
        {
            Once = options.Once,
            Guard = options.Guard,
            Processor = options.Processor,
            Observer = recorder,
            Log = line => output.Note(prefix + line),
            ClientConnected = () => Connected(prefix, instance),
            ClientEnded = end => Ended(position, instance, end),
        };
    }

    private void Announce(DeviceEntry entry, IServing serving, ServedSocket socket)
    {
        IReadOnlyList<QemuMachine> machines = serving.MachinesFor(socket);
        output.Line($"{entry.Name} ({entry.Ids}) is served on {socket.Path}. Arguments for QEMU 11 or newer:");
        foreach (QemuMachine machine in machines)
        {
            output.Line();
            if (machines.Count > 1)
            {
                output.Line(machine.Second is null ? machine.Program : $"{machine.Program}, which aborts when it has only one vfio-user device, so serve another one first:");
            }

            if (machine.Second is string[] second)
            {
                output.Line($"  ./penstock {QemuArguments.Shell(second)}");
            }

            output.Line($"  {QemuArguments.Shell(machine.Arguments)}");
        }

        output.Line();
        output.Line(options.Rpcit is null ? "For a guest with more memory change both 512M." : "For one run of QEMU: its memory and its tap are this process's.");
        Close(serving);
        JsonObject about = Describe(new JsonObject { ["event"] = "serving", ["device"] = entry.Name, ["ids"] = entry.Ids }, socket, machines[0]);
        about["machines"] = new JsonArray([.. machines.Select(m => (JsonNode)Describe(m))]);
        output.Object(about);
    }

    private void AnnounceParent(DeviceEntry entry, IServing serving)
    {
        var instances = new JsonArray();
        output.Line($"{entry.Name} ({entry.Ids}) is served as {serving.Sockets.Count} mediated devices. Arguments for QEMU 11 or newer:");
        foreach (ServedSocket socket in serving.Sockets)
        {
            QemuMachine machine = serving.MachinesFor(socket)[0];
            output.Line();
            output.Line($"{instances.Count}: {socket.Uuid} on {socket.Path}");
            output.Line($"  {QemuArguments.Shell(machine.Arguments)}");
            instances.Add((JsonNode)Describe(new JsonObject { ["instance"] = instances.Count, ["uuid"] = socket.Uuid }, socket, machine));
        }

        output.Line();
        output.Line("A guest with several of them takes the arguments of one and only -device of the others. For more memory change both 512M.");
        Close(serving);
        output.Object(new JsonObject { ["event"] = "serving", ["device"] = entry.Name, ["ids"] = entry.Ids, ["instances"] = instances });
    }

    private void Close(IServing serving) =>
        output.Line(serving.Console is null ? "Ctrl-C ends." : "Commands on standard input: 'help' lists them. Ctrl-C ends.");

    private static JsonObject Describe(JsonObject about, ServedSocket socket, QemuMachine machine)
    {
        about["socket"] = socket.Path;
        about["qemu"] = QemuArguments.Shell(machine.Arguments);
        about["qemu_arguments"] = Words(machine.Arguments);
        return about;
    }

    private static JsonObject Describe(QemuMachine machine) => new()
    {
        ["guest"] = machine.Name,
        ["program"] = machine.Program,
        ["qemu"] = QemuArguments.Shell(machine.Arguments),
        ["qemu_arguments"] = Words(machine.Arguments),
        ["second"] = machine.Second is null ? null : Words(machine.Second),
    };

    private static JsonArray Words(IEnumerable<string> words) => new([.. words.Select(w => (JsonNode)w)]);

    private void Connected(string prefix, int? instance)
    {
        output.Note($"{prefix}client connected");
        output.Object(Event("connected", instance));
    }

    private void Ended(int position, int? instance, SessionEnd end)
    {
        lock (_gate)
        {
            _lastEnds[position] = end;
        }

        JsonObject about = Event("ended", instance);
        about["kind"] = end.Kind.ToString();
        about["reason"] = end.Reason;
        output.Object(about);
    }

    private static JsonObject Event(string name, int? instance)
    {
        var about = new JsonObject { ["event"] = name };
        if (instance is not null)
        {
            about["instance"] = instance;
        }

        return about;
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
