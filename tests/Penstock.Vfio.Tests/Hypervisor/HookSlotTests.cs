using Penstock.Interop;

namespace Penstock.Vfio.Tests.Hypervisor;

public sealed class HookSlotTests : IDisposable
{
    private readonly VfioHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public void Install_Twice_EBUSY()
    {
        using HookRegistration<string> first = _host.Slot<string>().Install("a");
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _host.Slot<string>().Install("b")));
        Assert.True(_host.Slot<string>().IsInstalled);
        Assert.False(_host.Slot<object>().IsInstalled);
        using var other = new VfioHost();
        Assert.Null(other.Slot<string>().TryUse());
    }

    [Fact]
    public void Remove_InUse_EBUSYAndStays()
    {
        HookRegistration<string> registration = _host.Slot<string>().Install("a");
        HookUse<string> use = _host.Slot<string>().TryUse()!;
        Assert.Equal(1, registration.Uses);
        Assert.Equal(Errno.EBUSY, ErrnoOf(registration.Remove));
        Assert.True(_host.Slot<string>().IsInstalled);
        use.Dispose();
        use.Dispose();
        registration.Remove();
        Assert.False(_host.Slot<string>().IsInstalled);
        Assert.True(registration.Drained.IsCompletedSuccessfully);
    }

    [Fact]
    public void Dispose_InUse_IsDrained()
    {
        HookRegistration<string> registration = _host.Slot<string>().Install("a");
        HookUse<string> use = _host.Slot<string>().TryUse()!;
        registration.Dispose();
        registration.Dispose();
        Assert.Null(_host.Slot<string>().TryUse());
        Assert.Equal("a", use.Hook);
        Assert.False(registration.Drained.IsCompleted);
        using HookRegistration<string> next = _host.Slot<string>().Install("b");
        registration.Dispose();
        Assert.True(_host.Slot<string>().IsInstalled);
        use.Dispose();
        Assert.True(registration.Drained.IsCompletedSuccessfully);
    }
}
