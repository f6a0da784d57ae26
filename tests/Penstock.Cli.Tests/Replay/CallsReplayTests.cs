using System.IO.Compression;
using System.Text;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Tests.Replay;

/// <summary>Conversations of guests, written by hand in the recordings' format.</summary>
public sealed class CallsReplayTests : IDisposable
{
    private const uint Handle = 0x8002_0000;
    private const uint Other = 0x8002_0001;

    private readonly TemporaryFolder _folder = new();
    private readonly StringBuilder _text = new();
    private int _number;

    public void Dispose() => _folder.Dispose();

    [Fact]
    [Trait("Row", "S3-2")]
    public async Task Calls_RegistrationsAndRefreshes_MessagesInOrder()
    {
        Register(Handle, 0x1_0000_0000, 0x1_1fff_ffff);
        Modify(Handle, ZpciModifyOperation.RegisterInterrupts, default);
        Refresh(Handle, 0x1_0000_0000, 0x3000, "100000000 2 5000 rw", "100002000 1 9000 r");
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 7000 rw");
        Refresh(Handle, 0x1_0000_1000, 0x7000, "100001000 7 -");
        Modify(Handle, ZpciModifyOperation.DeregisterIoat, default);
        Register(Handle, 0x1_0000_0000, 0x1_0fff_f000);
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 5000 rw");
        Set(Handle, ZpciSetOperation.Disable);
        Set(Handle, ZpciSetOperation.Disable);

        await AssertMessagesAsync(
            [],
            "M 100000000 1000 5000 rw", "M 100001000 1000 6000 rw", "M 100002000 1000 9000 r",
            "U 100000000 1000", "M 100000000 1000 7000 rw",
            "U 100001000 1000", "U 100002000 2000", "U 100004000 4000",
            "U 0 120000000",
            "M 100000000 1000 5000 rw",
            "U 0 110000000");
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public async Task Calls_InvalidSegmentsAndRegions_AsQemu_AndCorrected()
    {
        Register(Handle, 0x1_0000_0000, 0x2_ffff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 5000 rw");
        Refresh(Handle, 0x1_7fff_f000, 0x1000, "17ffff000 1 6000 rw");
        Refresh(Handle, 0x1_0000_0000, 0x2_0000_0000, "100000000 524288 -S", "180000000 1572864 -R");
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 5000 rw");

        await AssertMessagesAsync([], "M 100000000 1000 5000 rw", "M 17ffff000 1000 6000 rw", "M 100000000 1000 5000 rw");
        await AssertMessagesAsync(
            ["--corrected"],
            "M 100000000 1000 5000 rw", "M 17ffff000 1000 6000 rw", "U 100000000 100000000", "U 200000000 100000000", "M 100000000 1000 5000 rw");
    }

    [Fact]
    public async Task Calls_ApertureOfAllAddressesThereAre_EndsInTwoHalves()
    {
        Register(Handle, 0, ulong.MaxValue);
        Refresh(Handle, 0xffff_ffff_ffff_e000, 0x1fff, "ffffffffffffe000 2 5000 rw");
        Modify(Handle, ZpciModifyOperation.DeregisterIoat, default);

        await AssertMessagesAsync(
            [],
            "M ffffffffffffe000 1000 5000 rw", "M fffffffffffff000 1000 6000 rw",
            "U 0 8000000000000000", "U 8000000000000000 8000000000000000");
    }

    [Fact]
    public async Task Calls_OfSeveralFunctions_EachHasItsOwnBook_OneCanBeChosen()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Register(Other, 0x1_0000_0000, 0x9_ffff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 5000 rw");
        Refresh(Other, 0x1_0000_0000, 0x1000, "100000000 1 5000 r");
        Modify(Other, ZpciModifyOperation.ReregisterIoat, Fib(0x1_0000_0000, 0x1_0fff_ffff));
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 5000 rw");
        Refresh(Other, 0x1_0000_0000, 0x1000, "100000000 1 6000 r");

        await AssertMessagesAsync(
            [], "M 100000000 1000 5000 rw", "M 100000000 1000 5000 r", "U 0 a00000000", "M 100000000 1000 6000 r");
        await AssertMessagesAsync(["--function", "80020001"], "M 100000000 1000 5000 r", "U 0 a00000000", "M 100000000 1000 6000 r");
        await AssertMessagesAsync(["--function", "0"], "M 100000000 1000 5000 rw");
        (await RunAsync("--function", "7")).AssertRefused(2, "7", "0, 1");
    }

    [Fact]
    public async Task Calls_Marks_GiveTheMappedPages()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Refresh(Handle, 0x1_0000_1000, 0x2000, "100001000 2 5000 rw");
        _text.AppendLine("# MARK one");
        Refresh(Handle, 0x1_0000_0000, 0x2000, "100000000 1 9000 r", "100001000 1 -");
        _text.AppendLine("# MARK two");

        await AssertMessagesAsync(["--at", "one"], "100001000 5000 rw", "100002000 6000 rw");
        await AssertMessagesAsync(["--at", "two"], "100000000 9000 r", "100002000 6000 rw");
        (await RunAsync("--at", "three")).AssertRefused(2, "'three'", "one, two");
    }

    [Fact]
    public async Task Calls_ThatFailed_HaveNoEffect()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff, "cc=1 r=8002000018000004");
        Refresh(Handle, 0x1_0000_0000, 0x1000, "cc=3 r=8002000000000000", []);
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x1000, "cc=1 r=8002000028000000", ["100000000 1 5000 rw"]);
        Modify(Handle, ZpciModifyOperation.DeregisterIoat, default, "cc=1 r=8002000018000005");
        await AssertMessagesAsync([]);
    }

    [Fact]
    public async Task Calls_WithALimit_StopAtIt_AndTheAnswersAgree()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x4000, "cc=1 r=8002000010000000", ["100000000 4 5000 rw"]);
        await AssertMessagesAsync(["--limit", "2"], "M 100000000 1000 5000 rw", "M 100001000 1000 6000 rw");
        ToolResult result = await RunAsync();
        Assert.Equal(4, result.Output.Length);
        Assert.Contains("cc=1 status 16", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_TablesWithAnError_AreLeftAsTheyWereBelowIt()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x3000, ["100000000 1 5000 rw", "100001000 1 !9", "100002000 1 7000 r"]);
        ToolResult result = await RunAsync();
        Assert.Equal(["M 100000000 1000 5000 rw"], result.Output);
        Assert.Contains("cc=0 status 0, the fallback says cc=1", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_RegistrationsThatEndUnseen_Notes()
    {
        Modify(Handle, ZpciModifyOperation.DeregisterIoat, default);
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Modify(Handle, ZpciModifyOperation.DeregisterIoat, default);
        Modify(Handle, ZpciModifyOperation.RegisterIoat, default);
        ToolResult result = await RunAsync();
        Assert.Equal(["U 0 110000000", "U 0 110000000"], result.Output);
        Assert.Equal(3, result.Errors.Length);
        Assert.All(result.Errors, static line => Assert.StartsWith("note: line ", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Calls_ResultsOfTwoProcessorsAfterBoth_ANoteSaysThatTheyMayBeEachOthers()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        _text.AppendLine($"{++_number} RPCIT req={Request(Handle, 0):x16} start=100000000 len=1000").AppendLine("  T 100000000 1 5000 rw");
        _text.AppendLine($"{++_number} RPCIT req={Request(Handle, 0):x16} start=100001000 len=1000").AppendLine("  T 100001000 1 6000 rw");
        _text.AppendLine($"  = cc=0 r={Request(Handle, 0):x16}").AppendLine($"  = cc=0 r={Request(Handle, 0):x16}");
        ToolResult result = await RunAsync();
        Assert.Equal(["M 100000000 1000 5000 rw", "M 100001000 1000 6000 rw"], result.Output);
        Assert.StartsWith("note: 1 results come after the next call's line", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_PackedOrWithOtherLineEnds_AreTheSame()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x1000, "100000000 1 5000 rw");
        string packed = _folder.File("LABEL.calls.txt.gz");
        await using (var stream = new GZipStream(File.Create(packed), CompressionLevel.Fastest))
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes(_text.ToString().ReplaceLineEndings("\r\n").TrimEnd()));
        }

        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", packed);
        Assert.Equal((0, 0), (result.Status, result.Errors.Length));
        Assert.Equal(["M 100000000 1000 5000 rw"], result.Output);
    }

    [Theory]
    [InlineData("what is this", "line 1", "'what'", "RPCIT")]
    [InlineData("1 STSI req=0", "line 1", "'STSI'", "MPCIFC, RPCIT and CLP")]
    [InlineData("1 RPCIT req=8002000000000000 start=zz len=1000", "line 1", "'start='", "'start=zz'")]
    [InlineData("1 RPCIT req=8002000000000000 start=0", "line 1", "'len='")]
    [InlineData("1 MPCIFC req=8002000000000004 fib=00", "line 1", "80 bytes")]
    [InlineData("1 CLP req=00", "line 1", "16 bytes")]
    [InlineData("  T 100000000 1 5000 rw", "line 1", "(T)", "RPCIT")]
    [InlineData("  = cc=0 r=0", "line 1", "(=)", "follows no call")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  = cc=7 r=0", "line 2", "cc=0..3")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  = cc=0 r=q", "line 2", "'r='")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  T 1 1 5000 rw", "line 2", "'1'", "I/O address")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  T 1000 0 5000 rw", "line 2", "'0'", "number of pages")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  T 1000 1 5000 w", "line 2", "'r' or 'rw'")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  T 1000 1 -X", "line 2", "'-X'", "(segment)")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  T 1000 1 !0", "line 2", "'!0'", "event")]
    [InlineData("1 RPCIT req=0 start=0 len=0\n  T 2000 2 -\n  T 3000 1 -", "line 3", "ascending")]
    [InlineData("1 RPCIT req=8002000000000000 start=0 len=1000\n  = cc=0 r=0", "line 2", "registration", "MPCIFC 4")]
    [InlineData("", "no calls")]
    public async Task Calls_Broken_OneLineThatNamesLineAndReason(string text, params string[] texts)
    {
        _text.Append(text);
        (await RunAsync()).AssertRefused(1, ["LABEL.calls.txt'", .. texts]);
    }

    [Fact]
    public async Task Calls_RunsThatDoNotCoverTheRefresh_Refused()
    {
        Register(Handle, 0x1_0000_0000, 0x1_0fff_ffff);
        Refresh(Handle, 0x1_0000_0000, 0x2000, "100000000 1 5000 rw");
        ToolResult result = await RunAsync();
        Assert.Equal(1, result.Status);
        Assert.Contains("100001000", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_LineWithoutEnd_Refused()
    {
        _text.Append('1', 1 << 18);
        (await RunAsync()).AssertRefused(1, "line 1", "longer than");
    }

    [Fact]
    public async Task Calls_FromAPipe_Refused()
    {
        string path = _folder.File("LABEL.calls.txt");
        File.CreateSymbolicLink(path, "/proc/self/fd/0");
        (await ToolProcess.RunAsync("replay", "zpci", path)).AssertRefused(2, "LABEL.calls.txt'", "is a pipe");
    }

    private static ZpciFib Fib(ulong first, ulong last) => new() { FirstAddress = first, LastAddress = last, Iota = 0x285_0804 };

    private static string Hex(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(bytes);

    private static ulong Request(uint handle, ulong operation) => ((ulong)handle << 32) | operation;

    private void Register(uint handle, ulong first, ulong last, string? result = null) =>
        Modify(handle, ZpciModifyOperation.RegisterIoat, Fib(first, last), result);

    private void Modify(uint handle, ZpciModifyOperation operation, ZpciFib fib, string? result = null)
    {
        byte[] block = new byte[ZpciFib.Length];
        fib.Write(block);
        ulong request = Request(handle, (ulong)operation);
        _text.AppendLine($"{++_number} MPCIFC req={request:x16} fib={Hex(block)}").AppendLine($"  = {result ?? $"cc=0 r={request:x16}"}");
    }

    private void Refresh(uint handle, ulong start, ulong length, params string[] runs) =>
        Refresh(handle, start, length, $"cc=0 r={Request(handle, 0):x16}", runs);

    private void Refresh(uint handle, ulong start, ulong length, string result, string[] runs)
    {
        _text.AppendLine($"{++_number} RPCIT req={Request(handle, 0):x16} start={start:x} len={length:x}");
        foreach (string run in runs)
        {
            _text.AppendLine($"  T {run}");
        }

        _text.AppendLine($"  = {result}");
    }

    private void Set(uint handle, ZpciSetOperation operation)
    {
        byte[] request = new byte[ZpciClpSetRequest.Length];
        var header = new ZpciClpHeader { BlockLength = ZpciClpSetRequest.Length, Code = (ushort)ZpciClpCommand.SetFunction };
        new ZpciClpSetRequest { Header = header, Handle = handle, Operation = operation, DmaSpaces = 1 }.Write(request);
        byte[] response = new byte[ZpciClpSetResponse.Length];
        new ZpciClpSetResponse { Header = header with { Code = (ushort)ZpciClpResponse.Ok }, Handle = handle }.Write(response);
        _text.AppendLine($"{++_number} CLP req={Hex(request)}").AppendLine($"  = cc=0 r=0 rsp={Hex(response)}");
    }

    private async Task<ToolResult> RunAsync(params string[] options)
    {
        string path = _folder.File("LABEL.calls.txt");
        await File.WriteAllTextAsync(path, _text.ToString());
        return await ToolProcess.RunAsync(["replay", "zpci", path, .. options]);
    }

    private async Task AssertMessagesAsync(string[] options, params string[] messages)
    {
        ToolResult result = await RunAsync(options);
        Assert.Empty(result.Errors);
        Assert.Equal(messages, result.Output);
        Assert.Equal(0, result.Status);
    }
}
