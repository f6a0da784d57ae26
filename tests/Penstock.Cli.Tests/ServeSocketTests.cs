using System.Net.Sockets;

namespace Penstock.Cli.Tests;

public sealed class ServeSocketTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Path => _folder.File("card.sock");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Socket_OfALiveServer_IsRefusedAndTheServerStays()
    {
        using ToolProcess first = ToolProcess.Penstock("serve", "idio16", "--socket", Path, "--once");
        await first.LineAsync("Ctrl-C ends");

        (await ServeAsync(Path)).AssertRefused(1, Path, "another server");
        using (VfioUser.VfioUserClient.Connect(Path, ToolProcess.Patience))
        {
            Assert.False(first.HasExited);
        }

        Assert.Equal(0, (await first.EndAsync()).Status);
    }

    [Fact]
    public async Task Socket_ThatNobodyListensOn_IsReplaced()
    {
        using (var stale = new Socket(AddressFamily.Unix, SocketType.Stream, 0))
        {
            stale.Bind(new UnixDomainSocketEndPoint(Path));

            // Closing the descriptor alone leaves the file, as a killed server does; the runtime's own Dispose would remove it.
            File.Move(Path, _folder.File("moved"));
        }

        File.Move(_folder.File("moved"), Path);
        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", Path);
        await tool.LineAsync("Ctrl-C ends");
        VfioUser.VfioUserClient.Connect(Path, ToolProcess.Patience).Dispose();
    }

    [Fact]
    public async Task Socket_RegularFile_IsRefusedAndTheFileStays()
    {
        await File.WriteAllTextAsync(Path, "precious");

        (await ServeAsync(Path)).AssertRefused(1, Path, "no socket");
        Assert.Equal("precious", await File.ReadAllTextAsync(Path));
    }

    [Fact]
    public async Task Socket_Folder_IsRefused() => (await ServeAsync(_folder.Path)).AssertRefused(1, _folder.Path, "a folder is there");

    [Fact]
    public async Task Socket_MissingFolder_IsRefusedByItsName() =>
        (await ServeAsync(_folder.File("missing/card.sock"))).AssertRefused(1, $"no folder '{_folder.File("missing")}'");

    [Fact]
    public async Task Socket_BelowAFile_IsRefused()
    {
        await File.WriteAllTextAsync(_folder.File("file"), "");

        (await ServeAsync(_folder.File("file/card.sock"))).AssertRefused(1, $"'{_folder.File("file")}' is no folder");
    }

    [Fact]
    public async Task Socket_WhereNothingCanBeCreated_IsRefused() => (await ServeAsync("/proc/card.sock")).AssertRefused(1, "/proc/card.sock", "choose");

    [Fact]
    public async Task Socket_Empty_IsWrongUsage() => (await ServeAsync("")).AssertRefused(2, "--socket is empty");

    [Fact]
    public async Task Socket_108Bytes_IsWrongUsageAnd107IsServed()
    {
        string longest = System.IO.Path.Combine(_folder.Path, new string('x', 107 - _folder.Path.Length - 1));
        (await ServeAsync(longest + "x")).AssertRefused(2, "108 bytes", "107");

        using ToolProcess tool = ToolProcess.Penstock("serve", "idio16", "--socket", longest);
        await tool.LineAsync("Ctrl-C ends");
        VfioUser.VfioUserClient.Connect(longest, ToolProcess.Patience).Dispose();
    }

    [Fact]
    public async Task Socket_RelativePathWithBlankAndQuote_IsQuotedForTheShell()
    {
        using var tool = new ToolProcess(WorkingCopy.Program, ["serve", "idio16", "--socket", "it's a card"], folder: _folder.Path);
        string arguments = (await tool.LineAsync("-device")).Trim();
        ToolResult shell = await ToolProcess.EndAsync(new ToolProcess("bash", ["-c", $"printf '%s\\n' {arguments}"]));

        using var device = System.Text.Json.JsonDocument.Parse(shell.Output[^1]);
        Assert.Equal(_folder.File("it's a card"), device.RootElement.GetProperty("socket").GetProperty("path").GetString());
    }

    [Theory]
    [InlineData("missing/record", "its folder does not exist")]
    [InlineData(".", "it is a folder")]
    [InlineData("/proc/record", "cannot record")]
    public async Task Record_FileThatCannotBeWritten_IsRefusedAndNothingIsServed(string file, string why)
    {
        ToolResult result = await ToolProcess.EndAsync(new ToolProcess(
            WorkingCopy.Program, ["serve", "idio16", "--socket", Path, "--record", file], folder: _folder.Path));

        result.AssertRefused(1, $"'{file}'", why);
        Assert.False(File.Exists(Path));
    }

    private static Task<ToolResult> ServeAsync(string path) => ToolProcess.RunAsync("serve", "idio16", "--socket", path);
}
