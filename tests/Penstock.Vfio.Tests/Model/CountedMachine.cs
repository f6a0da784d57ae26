namespace Penstock.Vfio.Tests.Model;

/// <summary>A virtual machine that is nothing but its references.</summary>
internal sealed class CountedMachine : IHypervisor
{
    private int _references = 1;
    private int _hasOwner = 1;

    internal int References => Volatile.Read(ref _references);

    public bool TryAcquire()
    {
        int now = Volatile.Read(ref _references);
        while (now != 0)
        {
            int seen = Interlocked.CompareExchange(ref _references, now + 1, now);
            if (seen == now)
            {
                return true;
            }

            now = seen;
        }

        return false;
    }

    public void Release()
    {
        int left = Interlocked.Decrement(ref _references);
        Assert.True(left >= 0, "a machine was released more often than acquired");
    }

    /// <summary>The owner closes his handle; devices may keep the machine.</summary>
    internal bool Destroy()
    {
        if (Interlocked.Exchange(ref _hasOwner, 0) == 0)
        {
            return false;
        }

        Release();
        return true;
    }
}
