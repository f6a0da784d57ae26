using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>What the host keeps about a device, and the two hooks by which it finds its way around.</content>
public abstract partial class VfioDevice
{
    // A device that its user keeps is told of now and then, not each time that it is asked for.
    private const uint RequestsForALine = 10;

    private readonly object _gate = new();
    private TaskCompletionSource? _closed;
    private int _users;
    private int _nodes;

    /// <summary>The group in which the device is registered; null before and after.</summary>
    public IommuGroup? Group => State?.Group;

    /// <summary>Whether any user has it open.</summary>
    public bool IsOpen
    {
        get
        {
            lock (_gate)
            {
                return _users != 0;
            }
        }
    }

    /// <summary>
    /// The line of execution on which the device handles register accesses; null when it has none. Whoever carries accesses over a
    /// connection uses it to keep posted work back until the reply is out.
    /// </summary>
    protected internal virtual Strand? Strand => null;

    /// <summary>
    /// The machine that the first user of the device runs; null when there is none. Set before <see cref="Open"/>, and the same, alive, until
    /// <see cref="Close"/> has returned.
    /// </summary>
    public IHypervisor? Hypervisor { get; private set; }

    /// <summary>Whether the device's unit can force all of its DMA through the CPU's caches.</summary>
    internal bool IsEnforcedCoherent => Group?.Unit.Options.EnforcesCoherency ?? false;

    internal GroupState? State { get; set; }

    /// <summary>Mediated devices are made of it; guarded as the registration is.</summary>
    internal bool IsMdevParent { get; set; }

    /// <summary>Serialises open, close, SetIrqs and Reset.</summary>
    internal object Gate => _gate;

    internal Action<string>? Log { get; set; }

    /// <summary>The device is about to be registered. A driver that needs more of its group than any device does says so here.</summary>
    /// <param name="group">The group that it is going to be in.</param>
    /// <exception cref="VfioException">It cannot be registered there; the registration fails with this error.</exception>
    protected internal virtual void Registering(IommuGroup group)
    {
    }

    /// <summary>Whether a user's name for a device of the group means this one. A driver whose names carry options replaces it.</summary>
    /// <param name="name">The name as the user gave it.</param>
    /// <returns>Whether it is meant.</returns>
    /// <exception cref="VfioException">It is meant, and refused.</exception>
    protected internal virtual bool Match(string name) => name == Name;

    internal void AddUser(VfioFile through, VfioContainer container, ref IHypervisor? ended) =>
        AddUser(through, () => container.DeviceOpened(this), static () => { }, () => container.DeviceClosed(this), ref ended);

    /// <summary>
    /// Opens the device; for the first user it is bound before, and attached after the driver has opened it. The reference to a machine that
    /// a failed open gives back is the caller's to drop, once it holds no lock.
    /// </summary>
    internal void AddUser(VfioFile through, Action bind, Action attach, Action unbind, ref IHypervisor? ended)
    {
        lock (_gate)
        {
            if (_users == 0)
            {
                OpenFirst(through, bind, attach, unbind, ref ended);
            }

            _users++;
        }
    }

    /// <summary>
    /// Opens the device for somebody who must be the only one; otherwise as
    /// <see cref="AddUser(VfioFile, Action, Action, Action, ref IHypervisor?)"/>.
    /// </summary>
    /// <exception cref="VfioException">EINVAL: somebody has it open.</exception>
    internal void AddSoleUser(string what, VfioFile through, Action bind, Action unbind, ref IHypervisor? ended)
    {
        lock (_gate)
        {
            if (_users != 0)
            {
                throw new VfioException(Errno.EINVAL, what, "it is open through another file");
            }

            OpenFirst(through, bind, static () => { }, unbind, ref ended);
            _users = 1;
        }
    }

    /// <summary>Closes the device if this was its last user; the caller drops the machine that it had, once it holds no lock.</summary>
    internal void RemoveUser(VfioContainer? container, Action? unbind, ref IHypervisor? ended)
    {
        lock (_gate)
        {
            if (_users != 1)
            {
                _users--;
                return;
            }

            CloseDriver();
            try
            {
                container?.DeviceClosed(this);
                unbind?.Invoke();
            }
            finally
            {
                _users = 0;
                Mappings.Orphan();
                Pinner = null;
                EndLease(ref ended);
                SignalIfUnused();
            }
        }
    }

    /// <summary>A file of the device by itself is open, bound or not: unregistration waits for it.</summary>
    internal void AddNode()
    {
        lock (_gate)
        {
            _nodes++;
        }
    }

    internal void RemoveNode()
    {
        lock (_gate)
        {
            _nodes--;
            SignalIfUnused();
        }
    }

    /// <summary>Asks for the device again and again until nobody has it open.</summary>
    internal void WaitUntilClosed(TimeSpan interval, TimeProvider time)
    {
        Task closed;
        lock (_gate)
        {
            if (_users == 0 && _nodes == 0)
            {
                return;
            }

            _closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            closed = _closed.Task;
        }

        for (uint round = 0; !closed.IsCompleted; round++)
        {
            try
            {
                Request(round);
            }
            catch (Exception e)
            {
                Log?.Invoke($"{Name}: the request to give the device back failed: {e}");
            }

            try
            {
                closed.WaitAsync(interval, time).GetAwaiter().GetResult();
            }
            catch (TimeoutException)
            {
                if (round % RequestsForALine == 0)
                {
                    Log?.Invoke($"{Name}: still open, waiting for its user to close it");
                }
            }
        }
    }

    private void OpenFirst(VfioFile through, Action bind, Action attach, Action unbind, ref IHypervisor? ended)
    {
        Hypervisor = through.Lease();
        try
        {
            bind();
            try
            {
                Open();
                try
                {
                    attach();
                }
                catch
                {
                    CloseDriver();
                    throw;
                }
            }
            catch
            {
                unbind();
                throw;
            }
        }
        catch
        {
            Pinner = null;
            EndLease(ref ended);
            throw;
        }
    }

    /// <summary>A driver that fails to close must not keep what its user held.</summary>
    private void CloseDriver()
    {
        try
        {
            Close();
        }
        catch (Exception e)
        {
            Log?.Invoke($"{Name}: the driver failed to close: {e}");
        }
    }

    private void SignalIfUnused()
    {
        if (_users == 0 && _nodes == 0)
        {
            _closed?.TrySetResult();
        }
    }

    private void EndLease(ref IHypervisor? ended)
    {
        ended = Hypervisor;
        Hypervisor = null;
    }

    internal Errno Failed(string access, uint region, ulong offset, Exception e)
    {
        Log?.Invoke($"{Name}: {access} of region {region} at 0x{offset:x} failed: {e}");
        return Errno.EIO;
    }
}
