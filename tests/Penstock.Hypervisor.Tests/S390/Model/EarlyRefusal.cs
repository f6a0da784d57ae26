using Penstock.Interop;

namespace Penstock.Hypervisor.Tests.S390.Model;

/// <summary>A hypervisor that says that it has run out although it has not, for every so many refreshes, and counts them.</summary>
internal sealed class EarlyRefusal(IRefreshMode mode, int every) : IRefreshMode
{
    public string Name => mode.Name;

    public int Refreshes { get; private set; }

    public Errno Register(IoatRegistration registration) => mode.Register(registration);

    public void Deregister() => mode.Deregister();

    public RpcitAnswer Refresh(ulong start, ulong length) =>
        ++Refreshes % every == 0 ? RpcitAnswer.Insufficient : mode.Refresh(start, length);

    public void Dispose() => mode.Dispose();
}
