using System.Text.Json;
using Penstock.Specs.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Tests;

public sealed class ServeTests : IDisposable
{
    private const uint Ports = VfioRegions.Bar0 + 2;
    private readonly TemporaryFolder _folder = new();

    private string Socket => _folder.File("card.sock");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Serve_AsText_PrintsTheArgumentsAndObeysCommands()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket, "--inputs", "0x8001");
        string arguments = await tool.LineAsync("-device");
        Assert.Contains($"'{{\"driver\":\"vfio-user-pci\",\"socket\":{{\"type\":\"unix\",\"path\":\"{Socket}\"}}}}'", arguments, StringComparison.Ordinal);

        await tool.LineAsync("'help' lists them");
        await tool.SendAsync("set 3 1");
        Assert.Equal("in 3 1", await tool.LineAsync("in 3"));
        await tool.SendAsync("get");
        Assert.Equal("inputs  0x8009", await tool.LineAsync("inputs"));
        await tool.SendAsync("bogus");
        Assert.StartsWith("bogus: ", await tool.ErrorLineAsync("bogus"), StringComparison.Ordinal);
        await tool.SendAsync("set 16 1");
        Assert.Contains("'16'", await tool.ErrorLineAsync("set"), StringComparison.Ordinal);
        await tool.SendAsync("help");
        await tool.LineAsync("set LINE 0|1");
    }

    [Fact]
    public async Task Serve_AsJson_EveryEventIsAnObject()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "--json", "--socket", Socket, "idio16");
        JsonElement serving = await tool.EventAsync("serving");
        Assert.Equal(Socket, serving.GetProperty("socket").GetString());
        Assert.Contains($"\"path\":\"{Socket}\"", serving.GetProperty("qemu_arguments").EnumerateArray().Last().GetString(), StringComparison.Ordinal);

        await tool.SendAsync("set 3 2");
        Assert.False((await tool.EventAsync("reply")).GetProperty("ok").GetBoolean());
        await tool.SendAsync("set 3 1");
        JsonElement reply = await tool.EventAsync("reply");
        Assert.True(reply.GetProperty("ok").GetBoolean());
        Assert.Equal("in 3 1", reply.GetProperty("text").GetString());

        using (var client = VfioUserClient.Connect(Socket, ToolProcess.Patience))
        {
            await tool.EventAsync("connected");
            client.Write(VfioRegions.Config, 4, [1, 0]);
            client.Write(Ports, 0, [0x20]);
            Assert.Equal("out 5 1", (await tool.EventAsync("notice")).GetProperty("text").GetString());
        }

        Assert.Equal("ClientClosed", (await tool.EventAsync("ended")).GetProperty("kind").GetString());
    }

    /// <summary>A device with MSI-X suits every machine: zPCI first on s390x; on ppc64le a second device, and how to serve one.</summary>
    [Fact]
    public async Task Serve_DeviceWithMsix_PrintsTheArgumentsForEachArchitecture()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "nvme", "--socket", Socket, "--json");
        JsonElement serving = await tool.EventAsync("serving");
        JsonElement[] machines = [.. serving.GetProperty("machines").EnumerateArray()];
        Assert.Equal(["x86_64", "s390x", "ppc64le"], machines.Select(m => m.GetProperty("guest").GetString()));
        Assert.Equal(["qemu-system-x86_64", "qemu-system-s390x", "qemu-system-ppc64"], machines.Select(m => m.GetProperty("program").GetString()));
        string[][] devices = [.. machines.Select(m => Devices([.. m.GetProperty("qemu_arguments").EnumerateArray().Select(a => a.GetString()!)]))];
        Assert.All(devices, d => Assert.Contains(d, device => device.Contains($"\"path\":\"{Socket}\"", StringComparison.Ordinal)));
        Assert.Single(devices[0]);
        Assert.Equal(2, devices[1].Length);
        Assert.StartsWith("zpci,", devices[1][0], StringComparison.Ordinal);
        Assert.Contains($"\"id\":\"{devices[1][0].Split("target=")[1]}\"", devices[1][1], StringComparison.Ordinal);
        Assert.Equal(2, devices[2].Length);
        string[] second = [.. machines[2].GetProperty("second").EnumerateArray().Select(a => a.GetString()!)];
        Assert.Equal(["serve", "idio16", "--socket"], second[..3]);
        Assert.Contains($"\"path\":\"{second[3]}\"", devices[2][1], StringComparison.Ordinal);
        Assert.All(machines[..2], m => Assert.Equal(JsonValueKind.Null, m.GetProperty("second").ValueKind));
    }

    [Fact]
    public async Task Serve_EndOfInput_LastLineWithoutEndIsObeyedAndServingGoesOn()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket);
        await tool.Input.WriteAsync("set 3 1");
        tool.Input.Close();

        Assert.Equal("in 3 1", await tool.LineAsync("in 3"));
        ReadsAsIdio16();
        Assert.False(tool.HasExited);
    }

    [Theory]
    [InlineData("exec \"$0\" serve idio16 --socket \"$1\" </dev/null")]
    [InlineData("exec \"$0\" serve idio16 --socket \"$1\" <&-")]
    [InlineData("exec setsid \"$0\" serve idio16 --socket \"$1\" </dev/null")]
    public async Task Serve_WithoutStandardInput_ServesUntilStopped(string script)
    {
        using var tool = new ToolProcess("bash", ["-c", script, WorkingCopy.Program, Socket]);
        await tool.LineAsync("Ctrl-C ends");

        ReadsAsIdio16();
        tool.Signal(ToolProcess.Terminate);
        Assert.Equal(0, (await tool.EndAsync()).Status);
        Assert.False(File.Exists(Socket));
    }

    [Fact]
    public async Task Serve_InTheBackgroundOfATerminal_IsNotStoppedByWhatIsTypedThere()
    {
        // A shell with job control on a terminal of its own; "wait" leaves the shell in the foreground and the server in the background.
        string script = $"'{WorkingCopy.Program}' serve idio16 --socket '{Socket}' & echo \"pid $!\"; wait";
        await File.WriteAllTextAsync(_folder.File("script"), script);
        using var terminal = new ToolProcess("script", ["-qec", $"bash --norc -m '{_folder.File("script")}'", "/dev/null"]);
        int server = int.Parse((await terminal.LineAsync("pid ")).Trim().Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
        try
        {
            await terminal.LineAsync("Ctrl-C ends");
            for (int i = 0; i < 4; i++)
            {
                await terminal.SendAsync("get");
                await Task.Delay(300);
                ReadsAsIdio16();
            }
        }
        finally
        {
            Assert.Equal(0, ToolProcess.Kill(server, ToolProcess.Terminate));
        }

        await terminal.EndAsync();
        Assert.False(File.Exists(Socket));
    }

    [Theory]
    [InlineData(ToolProcess.Terminate)]
    [InlineData(ToolProcess.Interrupt)]
    [InlineData(ToolProcess.HangUp)]
    public async Task Serve_Signal_EndsWith0AndRemovesTheSocketUnderAClient(int signal)
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket, "--json");
        await tool.EventAsync("serving");
        using var client = VfioUserClient.Connect(Socket, ToolProcess.Patience);
        tool.Signal(signal);

        ToolResult result = await tool.EndAsync();
        Assert.Equal(0, result.Status);
        Assert.False(File.Exists(Socket));
        Assert.Equal("Stopped", result.Objects[^1].GetProperty("kind").GetString());
    }

    [Fact]
    public async Task Serve_Once_EndsWithTheClient()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket, "--once");
        await tool.LineAsync("Ctrl-C ends");
        ReadsAsIdio16();

        Assert.Equal(0, (await tool.EndAsync()).Status);
        Assert.False(File.Exists(Socket));
    }

    [Fact]
    public async Task Serve_OnceWithClientThatBreaksTheProtocol_Fails()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket, "--once");
        await tool.LineAsync("Ctrl-C ends");
        using (var socket = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0))
        {
            socket.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint(Socket));
            socket.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"u8);
            ToolResult result = await tool.EndAsync();
            Assert.Equal(1, result.Status);
            Assert.StartsWith("penstock serve idio16: ", result.Errors[^1], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Serve_TwoClients_TheSecondIsServedWhenTheFirstHasGone()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket);
        await tool.LineAsync("Ctrl-C ends");
        Task<VfioUserClient> waiting;
        using (var first = VfioUserClient.Connect(Socket, ToolProcess.Patience))
        {
            waiting = Task.Run(() => VfioUserClient.Connect(Socket, ToolProcess.Patience));
            first.Reset();
            Assert.False(waiting.IsCompleted);
        }

        using VfioUserClient second = await waiting;
        Assert.True(second.GetInfo().RegionCount > 0);
    }

    [Fact]
    public async Task Serve_Record_HoldsWhatWasSaid()
    {
        string record = _folder.File("record");
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket, "--once", "--record", record);
        await tool.LineAsync("Ctrl-C ends");
        ReadsAsIdio16();

        Assert.Equal(0, (await tool.EndAsync()).Status);
        string[] lines = await File.ReadAllLinesAsync(record);
        Assert.Contains(lines, line => line.StartsWith("> ", StringComparison.Ordinal));
        Assert.Contains(lines, line => line.StartsWith("< ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Serve_RecordOnAFullDisk_TheClientIsServedAllTheSame()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Socket, "--record", "/dev/full");
        await tool.LineAsync("Ctrl-C ends");
        using (var client = VfioUserClient.Connect(Socket, ToolProcess.Patience))
        {
            for (int i = 0; i < 500; i++)
            {
                client.GetInfo();
            }
        }

        tool.Signal(ToolProcess.Terminate);
        ToolResult result = await tool.EndAsync();
        Assert.Equal(0, result.Status);
        Assert.Single(result.Errors, line => line.Contains("'/dev/full' is not complete", StringComparison.Ordinal));
    }

    private void ReadsAsIdio16()
    {
        using var client = VfioUserClient.Connect(Socket, ToolProcess.Patience);
        byte[] ids = new byte[4];
        client.Read(VfioRegions.Config, 0, ids);
        Assert.Equal([0x4f, 0x49, 0xc8, 0x0d], ids);
    }

    private static string[] Devices(string[] arguments) => [.. arguments.Zip(arguments.Skip(1)).Where(pair => pair.First == "-device").Select(pair => pair.Second)];
}
