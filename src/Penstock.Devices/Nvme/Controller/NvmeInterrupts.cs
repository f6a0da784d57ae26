using Penstock.Pci;

namespace Penstock.Devices;

/// <summary>
/// When the host is interrupted (NVM Express Base 1.4, section 7.5): by message once for what was completed together, by the pin as long as
/// there is something to read. Used on the strand.
/// </summary>
internal sealed class NvmeInterrupts(PciFunctionPort port, NvmeQueueSet queues)
{
    private const int MaskBits = 32;

    private bool _asserted;
    private long _sent;

    /// <summary>INTMS and INTMC: vectors that the pin does not tell of.</summary>
    internal uint Mask { get; set; }

    /// <summary>How many messages were sent. From any thread.</summary>
    internal long Sent => Interlocked.Read(ref _sent);

    /// <summary>Interrupts for what was completed.</summary>
    /// <param name="isTurnOver">
    /// Nothing is left to do, or a turn is over. Before that a host that has been interrupted and has read nothing since, as far as it has told, is not
    /// interrupted again: it will look, and if it looked just before, what came later is told now.
    /// </param>
    internal void Flush(bool isTurnOver)
    {
        if (!port.UsesVectors)
        {
            UpdatePin();
            return;
        }

        SetPin(false);
        for (int id = 0; id < queues.End; id++)
        {
            if (queues.Completion(id) is not { WantsInterrupt: true } queue)
            {
                continue;
            }

            if (!queue.Interrupts)
            {
                queue.WantsInterrupt = false;
            }
            else if (isTurnOver || !queue.IsInterrupting || queue.Head != queue.InterruptHead)
            {
                queue.WantsInterrupt = false;
                queue.IsInterrupting = true;
                queue.InterruptHead = queue.Head;
                Interlocked.Increment(ref _sent);
                port.SignalVector(queue.Vector);
            }
        }
    }

    /// <summary>Drives the pin, while it is in use, by what is unread.</summary>
    internal void UpdatePin()
    {
        bool asserted = false;
        for (int id = 0; id < queues.End && !asserted; id++)
        {
            asserted = queues.Completion(id) is { Interrupts: true, Unread: not 0 } queue
                && (queue.Vector >= MaskBits || (Mask & (1u << queue.Vector)) == 0);
        }

        SetPin(asserted && !port.UsesVectors);
    }

    internal void Reset()
    {
        Mask = 0;
        SetPin(false);
    }

    /// <summary>Whether the pin asks for service.</summary>
    internal bool IsAsserted => _asserted;

    /// <summary>What the pin shows came with the state of another function.</summary>
    internal void Reload(bool asserted)
    {
        _asserted = asserted;
        port.SetIntx(asserted);
    }

    private void SetPin(bool asserted)
    {
        if (asserted != _asserted)
        {
            _asserted = asserted;
            port.SetIntx(asserted);
        }
    }
}
