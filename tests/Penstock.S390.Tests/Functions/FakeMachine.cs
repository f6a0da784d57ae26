using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Functions;

/// <summary>A machine that counts its references.</summary>
internal sealed class FakeMachine : IHypervisor
{
    private int _references = 1;

    public int References => Volatile.Read(ref _references);

    public bool TryAcquire()
    {
        Interlocked.Increment(ref _references);
        return true;
    }

    public void Release() => Interlocked.Decrement(ref _references);
}
