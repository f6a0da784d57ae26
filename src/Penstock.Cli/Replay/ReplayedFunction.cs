using Penstock.Hypervisor;

namespace Penstock.Cli.Replay;

/// <summary>A function of a recording.</summary>
internal sealed class ReplayedFunction(FallbackRefresh<TableRuns> mode)
{
    public FallbackRefresh<TableRuns> Mode => mode;

    public bool IsRegistered { get; private set; }

    public void Register(IoatRegistration registration)
    {
        mode.Register(registration);
        IsRegistered = true;
    }

    public void Deregister()
    {
        mode.Deregister();
        IsRegistered = false;
    }
}
