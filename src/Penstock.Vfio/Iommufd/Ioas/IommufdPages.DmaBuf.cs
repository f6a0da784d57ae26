namespace Penstock.Vfio;

/// <content>Pages of a device's region.</content>
internal sealed partial class IommufdPages
{
    private readonly VfioDmaBuf? _buffer;
    private bool _hidden;

    /// <summary>Part of a device's region; takes a reference of its own on the memory.</summary>
    internal IommufdPages(IommufdContext context, VfioDmaBuf buffer, ulong start, ulong length, bool writeable)
        : this(context, buffer.Memory, start, length, writeable)
    {
        _buffer = buffer;
        buffer.Add(this);
    }

    /// <summary>Whether it is a device's memory: not to be pinned, copied or split.</summary>
    internal bool IsDmaBuf => _buffer is not null;

    /// <summary>Whether the tables must not have it now. Asked each time something is put into a table.</summary>
    internal bool IsHidden => _hidden |= _buffer is { IsRevoked: true };

    /// <summary>The device takes its memory away; when this returns no DMA reaches it.</summary>
    internal void Hide()
    {
        lock (_context.Gate)
        {
            _hidden = true;
            _context.ForEachIoas(i => i.Hide(this));
        }
    }

    /// <summary>The memory is back.</summary>
    internal void Show()
    {
        lock (_context.Gate)
        {
            if (_hidden && _buffer is { IsRevoked: false })
            {
                _hidden = false;
                _context.ForEachIoas(i => i.Show(this));
            }
        }
    }
}
