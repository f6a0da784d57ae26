using static Penstock.Hypervisor.Tests.Tap.TappedFunction;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>What a tap writes down of a guest; the plugin is the test.</summary>
public sealed class TapRecorderTests : IDisposable
{
    private const ulong Page = 0x1000;
    private const int LinesBefore = 6;

    private readonly StringWriter _writer = new();
    private readonly HypervisorRig _rig = new();
    private readonly SimulatedVm _vm;
    private TapSession? _tap;
    private FakePlugin? _plugin;

    public TapRecorderTests() => _vm = _rig.Kvm.CreateVm();

    private TapSession Tap => _tap!;

    private FakePlugin Plugin => _plugin!;

    private string[] Lines => _writer.ToString().Split('\n');

    public void Dispose()
    {
        _plugin?.Dispose();
        _tap?.Dispose();
        _vm.Dispose();
        _rig.Dispose();
        _writer.Dispose();
    }

    [Fact]
    public void Recording_HoldsCallsAndResults()
    {
        Start(RpcitPath.Shadow);
        Plugin.Rpcit(Handle, First, Page);
        Tap.Mark("done");
        Tap.Dispose();

        string[] lines = Lines;
        Assert.StartsWith("1 CLP req=00200002", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("  = cc=0 r=0000000000000000 rsp=00300010", lines[1], StringComparison.Ordinal);
        Assert.StartsWith("3 MPCIFC req=8002000000000004 fib=", lines[4], StringComparison.Ordinal);
        Assert.Equal("  = cc=0 r=8002000000000004", lines[5]);
        Assert.Equal(["4 RPCIT req=8002000000000000 start=100000000 len=1000", "  T 100000000 1 !7", "  = cc=0 r=8002000000000000", "# MARK done", ""], lines[6..]);
    }

    /// <summary>
    /// Before the result of an RPCIT is seen an interrupt comes, and another processor: QEMU has begun with it first, so it is written first. One whose result
    /// never comes holds the others up for a while only.
    /// </summary>
    [Fact]
    public void Recording_OfWhatQemuDoes_IsInTheOrderInWhichItBegan()
    {
        Start(RpcitPath.Fallback);
        Assert.Equal((uint)TapAction.GoOnAndTell, Plugin.Rpcit(Handle, First, Page).Action);
        Plugin.Rpcit(Handle, First + Page, Page);
        Plugin.Rpcit(Handle, First, Page, processor: 1);
        Plugin.RpcitDone(Handle, First + Page, Page);
        Plugin.RpcitDone(Handle, First, Page, processor: 1);
        Assert.Equal(LinesBefore + 1, Lines.Length);
        Plugin.RpcitDone(Handle, First, Page);

        string[] lines = Lines[LinesBefore..];
        Assert.Equal(
            ["4 RPCIT req=8002000000000000 start=100000000 len=1000", "5 RPCIT req=8002000000000000 start=100001000 len=1000", "6 RPCIT req=8002000000000000 start=100000000 len=1000"],
            lines.Where(l => l.Contains("RPCIT", StringComparison.Ordinal)));
        Assert.Equal(["  = cc=0 r=8002000000000000", "  = cc=0 r=8002000000000000", "  = cc=0 r=8002000000000000"], [lines[2], lines[5], lines[8]]);

        int written = Lines.Length;
        Plugin.Rpcit(Handle, First, Page);
        for (uint i = 1; i < 64; i++)
        {
            Plugin.Rpcit(Handle, First + (i * Page), Page);
            Plugin.RpcitDone(Handle, First + (i * Page), Page);
        }

        Assert.Equal(written, Lines.Length);
        Plugin.Rpcit(Handle, Last + 1 - Page, Page);
        Assert.Equal(written + 2 + (63 * 3), Lines.Length);
        Tap.Dispose();
        Assert.Equal(written + 2 + (63 * 3) + 2, Lines.Length);
    }

    private void Start(RpcitPath path)
    {
        _tap = new TapSession(new TapSessionOptions { FunctionId = FunctionId, Path = path, Target = new FakeTapTarget(), Recorder = new TapRecorder(_writer, _vm.Memory) });
        _plugin = new FakePlugin(_tap);
        _tap.Start();
        Plugin.Enable();
        Plugin.RegisterTables();
    }
}
