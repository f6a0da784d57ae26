namespace Penstock.Vfio.Tests;

/// <summary>A machine that counts its references and dies with the last one.</summary>
internal sealed class FakeMachine : IHypervisor
{
    private readonly Lock _gate = new();
    private int _references = 1;

    public int References
    {
        get
        {
            lock (_gate)
            {
                return _references;
            }
        }
    }

    public bool IsDead => References == 0;

    /// <summary>Called when the last reference goes.</summary>
    public Action? OnDeath { get; set; }

    public bool TryAcquire()
    {
        lock (_gate)
        {
            if (_references == 0)
            {
                return false;
            }

            _references++;
            return true;
        }
    }

    public void Release()
    {
        lock (_gate)
        {
            if (_references == 0)
            {
                throw new InvalidOperationException("released once too often");
            }

            if (--_references != 0)
            {
                return;
            }
        }

        OnDeath?.Invoke();
    }
}
