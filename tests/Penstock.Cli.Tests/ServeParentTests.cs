using System.Text.Json;
using Penstock.Specs.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Tests;

/// <summary>Several mediated devices of one parent, each on a socket of its own.</summary>
public sealed class ServeParentTests : IDisposable
{
    private const uint Ports = VfioRegions.Bar0 + 2;
    private const string First = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    private const string Second = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Serve_TwoCardsAtOnce_AreSeparate()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "gpio-mdev", "--json", "--socket", _folder.Path, "--uuids", $"{First},{Second}", "--inputs", "1");
        JsonElement[] instances = [.. (await tool.EventAsync("serving")).GetProperty("instances").EnumerateArray()];
        Assert.Equal([First, Second], instances.Select(i => i.GetProperty("uuid").GetString()));
        string[] sockets = [.. instances.Select(i => i.GetProperty("socket").GetString()!)];
        Assert.Equal([_folder.File("0.sock"), _folder.File("1.sock")], sockets);
        Assert.All(instances, i => Assert.Contains(i.GetProperty("socket").GetString()!, i.GetProperty("qemu").GetString()!, StringComparison.Ordinal));

        using (VfioUserClient a = VfioUserClient.Connect(sockets[0], ToolProcess.Patience))
        using (VfioUserClient b = VfioUserClient.Connect(sockets[1], ToolProcess.Patience))
        {
            a.Write(VfioRegions.Config, 4, [1, 0]);
            b.Write(VfioRegions.Config, 4, [1, 0]);
            b.Write(Ports, 0, [0x20]);
            Assert.Equal("out 1 5 1", (await tool.EventAsync("notice")).GetProperty("text").GetString());
            a.Write(Ports, 4, [0x01]);
            Assert.Equal("out 0 8 1", (await tool.EventAsync("notice")).GetProperty("text").GetString());
            await tool.SendAsync("set 0 3 1");
            Assert.True((await tool.EventAsync("reply")).GetProperty("ok").GetBoolean());
            Assert.Equal((0x09, 0x01), (Read(a, 1), Read(b, 1)));
            Assert.Equal((0x00, 0x20), (Read(a, 0), Read(b, 0)));
        }

        // Who ends is told by number; the other goes on.
        var ended = new HashSet<int> { (await tool.EventAsync("ended")).GetProperty("instance").GetInt32(), (await tool.EventAsync("ended")).GetProperty("instance").GetInt32() };
        Assert.Equal([0, 1], ended.Order());
        using VfioUserClient again = VfioUserClient.Connect(sockets[1], ToolProcess.Patience);
        again.Write(VfioRegions.Config, 4, [1, 0]);
        Assert.Equal(0x00, Read(again, 0));
    }

    [Fact]
    public async Task Serve_AsText_PrintsTheArgumentsOfEach()
    {
        using ToolProcess tool = ToolProcess.Penstock("serve", "gpio-mdev", "--instances", "3", "--socket", _folder.File("card-%n-%u.sock"), "--once");
        var lines = new List<string>();
        for (int i = 0; i < 3; i++)
        {
            lines.Add(await tool.LineAsync("-device"));
        }

        await tool.LineAsync("Ctrl-C ends");
        Assert.Equal(3, lines.Distinct().Count());
        Assert.All(lines, (l, i) => Assert.Contains($"card-{i}-", l, StringComparison.Ordinal));

        // With --once it ends with the last one's client.
        foreach (string socket in Directory.GetFiles(_folder.Path, "*.sock"))
        {
            Assert.False(tool.HasExited);
            using VfioUserClient client = VfioUserClient.Connect(socket, ToolProcess.Patience);
            byte[] id = new byte[2];
            client.Read(VfioRegions.Config, 0, id);
            Assert.Equal([0x4f, 0x49], id);
        }

        Assert.Equal(0, (await tool.EndAsync()).Status);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public async Task Serve_OnePathForSeveral_SaysWhatIsRight()
    {
        ToolResult result = await ToolProcess.RunAsync("serve", "gpio-mdev", "--socket", _folder.File("card.sock"));
        Assert.Equal(2, result.Status);
        Assert.Contains("%n", string.Join('\n', result.Errors), StringComparison.Ordinal);
        ToolResult record = await ToolProcess.RunAsync("serve", "gpio-mdev", "--socket", _folder.Path, "--record", _folder.File("r"));
        Assert.Equal(2, record.Status);
        ToolResult single = await ToolProcess.RunAsync("serve", "gpio-mdev", "--instances", "1", "--socket", _folder.File("no/card.sock"));
        Assert.Equal(1, single.Status);
        Assert.Contains("no/card.sock", string.Join('\n', single.Errors), StringComparison.Ordinal);
    }

    private static int Read(VfioUserClient client, ulong port)
    {
        byte[] data = new byte[1];
        client.Read(Ports, port, data);
        return data[0];
    }
}
