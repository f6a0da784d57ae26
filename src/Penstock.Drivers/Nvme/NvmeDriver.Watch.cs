using System.Diagnostics;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <content>Who notices completions of asynchronous calls, and that a controller does not work any more.</content>
public sealed unsafe partial class NvmeDriver
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromSeconds(1);

    private readonly List<EventWatch> _watches = [];
    private readonly AutoResetEvent _submitted = new(initialState: false);
    private Thread? _poller;
    private ITimer? _timer;
    private long _looked;
    private volatile bool _stopping;

    /// <summary>An asynchronous command is under way; a poller that sleeps wakes up.</summary>
    internal void Submitted()
    {
        if (_poller is not null)
        {
            _submitted.Set();
        }
    }

    /// <summary>The vector of a channel; the synchronous one has none, and neither have the others when they are polled.</summary>
    private int? VectorOf(int channel) => _watches.Count == 0 || (channel == 0 && _channels.Length > 1)
        ? null
        : 1 + ((channel == 0 ? 0 : channel - 1) % _watches.Count);

    private void BindInterrupts()
    {
        int vectors = (int)_device.File.GetIrqInfo(VfioIrqs.Msix).Count;

        // Vector 0 is the admin queue's, which is polled.
        int used = Math.Min(vectors - 1, Math.Max(1, _channels.Length - 1));
        if (!_options.Interrupts || used < 1)
        {
            return;
        }

        ResourceLedger ledger = _device.Memory.Host.Ledger;
        var watcher = new EventWatcher($"nvme {Name}", ledger, _options.Log);
        var events = new EventDescriptor?[used + 1];
        try
        {
            for (int i = 1; i <= used; i++)
            {
                events[i] = EventDescriptor.Create(ledger);
            }

            _device.BindInterrupts(VfioIrqs.Msix, events);
            for (int i = 1; i <= used; i++)
            {
                int vector = i;
                _watches.Add(watcher.Watch(events[i]!, _ => Interrupted(vector)));
                events[i] = null;
            }
        }
        catch
        {
            Array.ForEach(events, static e => e?.Dispose());
            throw;
        }
    }

    private void Interrupted(int vector)
    {
        for (int i = 0; i < _channels.Length; i++)
        {
            if (VectorOf(i) == vector)
            {
                _channels[i].Process();
            }
        }
    }

    private void StartWatching()
    {
        if (_watches.Count == 0)
        {
            _poller = new Thread(PollCompletions) { IsBackground = true, Name = $"nvme {Name} poller" };
            _device.Memory.Host.Ledger.Acquired(ResourceKind.Thread);
            _poller.Start();
        }

        TimeSpan period = _options.CommandTimeout / 4 < WatchInterval ? _options.CommandTimeout / 4 : WatchInterval;
        _timer = TimeProvider.System.CreateTimer(_ => Tick(), null, period, period);
    }

    private void StopWatching()
    {
        _stopping = true;
        _timer?.Dispose();
        _submitted.Set();
        _poller?.Join();
        try
        {
            if (_watches.Count != 0)
            {
                _device.ReleaseInterrupts(VfioIrqs.Msix);
            }
        }
        catch (VfioException)
        {
            // The device has gone, and its interrupts with it.
        }

        _watches.ForEach(static w => w.Dispose());
        _running.Set();
    }

    /// <summary>Interrupts can be lost with a device that was reset, and commands with a controller that hangs.</summary>
    private void Tick()
    {
        try
        {
            bool busy = false;
            foreach (NvmeChannel channel in _channels)
            {
                channel.Process();
                if (channel.HasExpired(_options.CommandTimeout))
                {
                    Fail($"queue {channel.Ring.Id}: no answer in {_options.CommandTimeout.TotalSeconds} s");
                }

                busy |= channel.Outstanding != 0;
            }

            if (busy && Failure is null && !_stopping)
            {
                Look();
            }
        }
        catch (Exception e)
        {
            // A timer's exception would end the process.
            _options.Log?.Invoke($"{Name}: looking after the controller failed: {e}");
        }
    }

    private void PollCompletions()
    {
        try
        {
            var spinner = new SpinWait();
            while (!_stopping)
            {
                bool any = false;
                bool busy = false;
                foreach (NvmeChannel channel in _channels.AsSpan(_channels.Length > 1 ? 1 : 0))
                {
                    any |= channel.Process();
                    busy |= channel.Outstanding != 0;
                }

                if (any)
                {
                    spinner.Reset();
                }
                else if (busy)
                {
                    spinner.SpinOnce(sleep1Threshold: -1);
                }
                else
                {
                    _submitted.WaitOne();
                }
            }
        }
        catch (Exception e)
        {
            Fail($"the poller ended: {e.Message}");
        }
        finally
        {
            _device.Memory.Host.Ledger.Released(ResourceKind.Thread);
        }
    }
}
